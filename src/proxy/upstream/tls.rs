//! TLS towards upstreams: the platform's certificate authorities, and one's own beside them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use super::PoolError;
use crate::config::Upstream;

/// One client configuration per set of certificate authorities, shared by all workers.
#[derive(Default)]
pub struct TlsConfigs(Mutex<HashMap<Option<Arc<str>>, Arc<ClientConfig>>>);

impl TlsConfigs {
    pub(super) fn get(&self, upstream: &Upstream) -> Result<Arc<ClientConfig>, PoolError> {
        let mut configs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = configs.get(&upstream.ca_pem) {
            return Ok(Arc::clone(config));
        }
        let config = build(upstream.ca_pem.as_deref())
            .map_err(|reason| PoolError { upstream: Arc::clone(&upstream.name), reason })?;
        let config = Arc::new(config);
        configs.insert(upstream.ca_pem.clone(), Arc::clone(&config));
        Ok(config)
    }
}

fn build(ca: Option<&str>) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let extra = ca
        .map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>())
        .transpose()
        .map_err(|error| error.to_string())?
        .unwrap_or_default();
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(|error| error.to_string())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}
