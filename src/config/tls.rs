//! Certificates and keys: read, and proven to belong together, before anything depends on them.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, Error, InconsistentKeys};
use rustls_platform_verifier::Verifier;

use super::check::Check;
use super::problem::KeyPath;
use super::settings::{ClientAuth, Protocol, Settings};
use crate::types::Secret;

/// What TLS listeners serve, as text that is known to be good. Read anew at each reload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TlsMaterial {
    /// The configured certificate; `None`: the development certificate in `tls.dev_directory`.
    pub pair: Option<TlsPair>,
    /// The CAs that client certificates must chain to, PEM. Given whenever `tls.client_auth` is not `none`.
    pub client_ca_pem: Option<Arc<str>>,
}

/// A certificate and its key, known to belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsPair {
    /// The certificate chain, PEM.
    pub certs_pem: Arc<str>,
    /// Its private key, PEM.
    pub key_pem: Secret,
}

/// What TLS is made of. Without a certificate a development one is made by the listeners.
pub(super) fn check(check: &mut Check<'_>, settings: &Settings) -> TlsMaterial {
    let at = KeyPath::of(&["tls"]);
    let tls = &settings.tls;
    let client_ca_pem = match (&tls.client_ca, tls.client_auth) {
        (Some(path), _) => authorities(check, &at.key("client_ca"), path),
        (None, ClientAuth::None) => None,
        (None, ClientAuth::Optional | ClientAuth::Required) => {
            check
                .problem(&at.key("client_auth"), "needs tls.client_ca: the CAs that client certificates must chain to");
            None
        }
    };
    let secure = settings.listeners.iter().any(|listener| listener.protocol == Protocol::Https);
    let pair = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => pair(check, &at, certificate, key),
        (Some(_), None) => {
            check.problem(&at.key("certificate"), "needs tls.key beside it");
            None
        }
        (None, Some(_)) => {
            check.problem(&at.key("key"), "needs tls.certificate beside it");
            None
        }
        (None, None) => {
            if secure && tls.dev_names.is_empty() {
                check.problem(&at.key("dev_names"), "name at least one host for the development certificate");
            }
            None
        }
    };
    TlsMaterial { pair, client_ca_pem }
}

/// TLS towards others: the platform's certificate authorities, and those of a PEM text beside them.
///
/// # Errors
/// The text is no PEM, or there are no authorities at all.
pub fn towards(ca: Option<&str>) -> Result<ClientConfig, String> {
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

/// Reads a PEM file of CAs and checks that each can be trusted.
pub(super) fn authorities(check: &mut Check<'_>, at: &KeyPath, path: &Path) -> Option<Arc<str>> {
    let pem = read(check, at, path)?;
    let certs = certificates(check, at, path, &pem)?;
    let mut store = RootCertStore::empty();
    for (position, cert) in certs.into_iter().enumerate() {
        if let Err(error) = store.add(cert) {
            let number = position.saturating_add(1);
            check.problem(at, format!("{}: certificate {number} cannot be a CA: {error}", path.display()));
            return None;
        }
    }
    Some(pem.into())
}

fn pair(check: &mut Check<'_>, at: &KeyPath, certificate: &Path, key: &Path) -> Option<TlsPair> {
    let (certs_at, key_at) = (at.key("certificate"), at.key("key"));
    let (certs_pem, key_pem) = (read(check, &certs_at, certificate), read(check, &key_at, key));
    let (certs_pem, key_pem) = (certs_pem?, key_pem?);
    let chain = certificates(check, &certs_at, certificate, &certs_pem)?;
    // The parser's own message could show what it stumbled over, which is a key here.
    let Ok(private) = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()) else {
        check.problem(&key_at, format!("{}: has no private key in PEM", key.display()));
        return None;
    };
    match CertifiedKey::from_der(chain.clone(), private, &aws_lc_rs::default_provider()) {
        Ok(_) => {}
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            check.problem(&key_at, format!("{}: is not the key of {}", key.display(), certificate.display()));
            return None;
        }
        Err(error) => {
            check.problem(&key_at, format!("{}: {error}", key.display()));
            return None;
        }
    }
    if let Some(expired) = outside_validity(&chain) {
        check.warning(&certs_at, format!("{}: {expired}", certificate.display()));
    }
    Some(TlsPair { certs_pem: certs_pem.into(), key_pem: Secret::new(key_pem) })
}

fn read(check: &mut Check<'_>, at: &KeyPath, path: &Path) -> Option<String> {
    match check.reader.text(path) {
        Ok(text) => Some(text),
        Err(message) => {
            check.problem(at, format!("{}: {message}", path.display()));
            None
        }
    }
}

fn certificates(check: &mut Check<'_>, at: &KeyPath, path: &Path, pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certs {
        Ok(certs) if certs.is_empty() => {
            check.problem(at, format!("{}: has no certificate in PEM", path.display()));
            None
        }
        Ok(certs) => Some(certs),
        Err(_) => {
            check.problem(at, format!("{}: has a damaged PEM section", path.display()));
            None
        }
    }
}

/// What is wrong with the dates of a chain. Verification compares them before it looks for an issuer, so the chain's
/// last certificate may stand in for a trust anchor.
fn outside_validity(chain: &[CertificateDer<'static>]) -> Option<&'static str> {
    let (leaf, rest) = chain.split_first()?;
    let parsed = ParsedCertificate::try_from(leaf).ok()?;
    let mut anchors = RootCertStore::empty();
    anchors.add(chain.last()?.clone()).ok()?;
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&parsed, &anchors, rest, UnixTime::now(), algorithms) {
        Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            Some("the certificate has expired: clients will refuse it")
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })) => {
            Some("the certificate is not valid yet: clients will refuse it")
        }
        Ok(()) | Err(_) => None,
    }
}
