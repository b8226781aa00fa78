//! The certificate the listeners show.

use std::sync::Arc;

use super::Error;
use crate::config::Snapshot;
use crate::config::settings::Protocol;
use crate::proxy::listen::{self, TlsError, TlsMaterial, TlsState};

/// The certificate that is shown; `None` where no listener shows one.
pub(super) fn tls_state(snapshot: &Snapshot) -> Result<Option<Arc<TlsState>>, Error> {
    if !snapshot.settings.listeners.iter().any(|listener| listener.protocol == Protocol::Https) {
        return Ok(None);
    }
    Ok(Some(Arc::new(TlsState::new(tls_material(snapshot)?)?)))
}

/// The certificate of the configuration, or the one made for development.
pub(super) fn tls_material(snapshot: &Snapshot) -> Result<TlsMaterial, TlsError> {
    let client_ca = snapshot.tls.client_ca_pem.as_deref();
    let client_auth = snapshot.settings.tls.client_auth;
    match &snapshot.tls.pair {
        Some(pair) => TlsMaterial::from_pem(&pair.certs_pem, pair.key_pem.expose(), client_ca, client_auth),
        None => {
            let dev = listen::dev_certificate(&snapshot.settings.tls)?;
            TlsMaterial::read(&dev.certificate, &dev.key, snapshot.settings.tls.client_ca.as_deref(), client_auth)
        }
    }
}
