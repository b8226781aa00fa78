//! TLS: certificates that can be replaced while connections are being served.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::config::settings::ClientAuth;

/// What a server shows and asks for. `Debug` shows no key.
#[derive(Debug)]
pub struct TlsMaterial {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_ca: Vec<CertificateDer<'static>>,
    client_auth: ClientAuth,
}

/// Why certificates were not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file without what it should hold.
    #[error("{path}: no {what} in PEM form")]
    Pem {
        /// Which.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// Client certificates are asked for, without a CA to check them against.
    #[error("tls.client_auth needs tls.client_ca")]
    NoClientCa,
    /// The certificate is not valid at this time.
    #[error("the certificate is {0}")]
    Validity(&'static str),
    /// Certificate and key do not belong together, or rustls does not take them.
    #[error("the certificate and key cannot be used: {0}")]
    Material(#[from] rustls::Error),
    /// The client CA cannot be used.
    #[error("the client CA cannot be used: {0}")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
    /// The development certificate could not be made.
    #[error("the development certificate could not be made: {0}")]
    Dev(#[from] rcgen::Error),
}

impl TlsMaterial {
    /// Reads PEM files: a chain (leaf first), its key, and the CAs of client certificates.
    ///
    /// # Errors
    /// A file cannot be read or holds nothing of its kind.
    pub fn read(
        certificate: &Path,
        key: &Path,
        client_ca: Option<&Path>,
        client_auth: ClientAuth,
    ) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|_| TlsError::Pem { path: key.to_owned(), what: "private key" })?;
        let client_ca = client_ca.map(certificates).transpose()?.unwrap_or_default();
        Ok(Self { chain, key, client_ca, client_auth })
    }
}

impl TlsMaterial {
    /// From PEM text that the configuration has read and checked.
    ///
    /// # Errors
    /// A text holds nothing of its kind.
    pub fn from_pem(
        chain: &str,
        key: &str,
        client_ca: Option<&str>,
        client_auth: ClientAuth,
    ) -> Result<Self, TlsError> {
        let configured = |what| TlsError::Pem { path: PathBuf::from("configuration"), what };
        let parse = |pem: &str| {
            CertificateDer::pem_slice_iter(pem.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| configured("certificate"))
        };
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| configured("private key"))?;
        let client_ca = client_ca.map(parse).transpose()?.unwrap_or_default();
        Ok(Self { chain: parse(chain)?, key, client_ca, client_auth })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// The certificates of a PEM file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::Pem { path: path.to_owned(), what: "certificate" };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<_, _>>().map_err(|_| none())?;
    if found.is_empty() { Err(none()) } else { Ok(found) }
}

/// The certificates in force. Connections keep those they began with.
#[derive(Debug)]
pub struct TlsState {
    config: ArcSwap<ServerConfig>,
    /// When the leaf ends: Unix time in seconds.
    expires: AtomicI64,
}

impl TlsState {
    /// Puts the first material in force.
    ///
    /// # Errors
    /// It cannot be used: unreadable, mismatched, expired.
    pub fn new(material: TlsMaterial) -> Result<Self, TlsError> {
        let expires = check_validity(&material.chain)?;
        Ok(Self { config: ArcSwap::from(server_config(material)?), expires: AtomicI64::new(expires) })
    }

    /// Puts new material in force for connections from now on.
    ///
    /// # Errors
    /// As [`TlsState::new`]; the old material stays in force.
    pub fn replace(&self, material: TlsMaterial) -> Result<(), TlsError> {
        let expires = check_validity(&material.chain)?;
        self.config.store(server_config(material)?);
        self.expires.store(expires, Ordering::Relaxed);
        Ok(())
    }

    /// When the certificate in force ends: Unix time in seconds.
    pub fn expires(&self) -> i64 {
        self.expires.load(Ordering::Relaxed)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn server_config(material: TlsMaterial) -> Result<Arc<ServerConfig>, TlsError> {
    let TlsMaterial { chain, key, client_ca, client_auth } = material;
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional | ClientAuth::Required => {
            if client_ca.is_empty() {
                return Err(TlsError::NoClientCa);
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca)?), provider());
            let verifier =
                if client_auth == ClientAuth::Optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets die with the configuration, so that nobody resumes past a new client CA.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    // Nor is the client's certificate kept in a server-side cache of sessions.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}

fn roots(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// When the leaf ends (Unix time in seconds). Refuses one that is expired or not yet valid; who issued it is the
/// clients' affair.
fn check_validity(chain: &[CertificateDer<'static>]) -> Result<i64, TlsError> {
    let Some((_, leaf)) = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok()) else {
        return Err(TlsError::Material(rustls::Error::InvalidCertificate(CertificateError::BadEncoding)));
    };
    let (validity, now) = (leaf.validity(), ASN1Time::now());
    if now > validity.not_after {
        return Err(TlsError::Validity("expired"));
    }
    if now < validity.not_before {
        return Err(TlsError::Validity("not valid yet"));
    }
    Ok(validity.not_after.timestamp())
}

/// Whether `leaf` is good for `name` at `time`, with `trusted` as the only CAs.
pub(super) fn verify(
    leaf: &CertificateDer<'_>,
    trusted: &[CertificateDer<'static>],
    name: &str,
    time: UnixTime,
) -> Result<Result<(), rustls::Error>, TlsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(trusted.to_vec())?), provider())
        .build()
        .map_err(TlsError::ClientCa)?;
    let Ok(name) = ServerName::try_from(name) else {
        return Ok(Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName)));
    };
    Ok(verifier.verify_server_cert(leaf, &[], &name, &[], time).map(|_| ()))
}
