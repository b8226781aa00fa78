//! TLS towards upstreams: one client configuration per set of certificate authorities.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;

use super::PoolError;
use crate::config::{Upstream, towards};

/// One client configuration per set of certificate authorities, shared by all workers.
#[derive(Default)]
pub struct TlsConfigs(Mutex<HashMap<Option<Arc<str>>, Arc<ClientConfig>>>);

impl TlsConfigs {
    pub(super) fn get(&self, upstream: &Upstream) -> Result<Arc<ClientConfig>, PoolError> {
        let mut configs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = configs.get(&upstream.ca_pem) {
            return Ok(Arc::clone(config));
        }
        let config = towards(upstream.ca_pem.as_deref())
            .map_err(|reason| PoolError { upstream: Arc::clone(&upstream.name), reason })?;
        let config = Arc::new(config);
        configs.insert(upstream.ca_pem.clone(), Arc::clone(&config));
        Ok(config)
    }
}
