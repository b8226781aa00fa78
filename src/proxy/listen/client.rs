//! The names in a verified client certificate.

use std::sync::Arc;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::AttributeTypeAndValue;

/// Longest name, in bytes.
const MAX_NAME: usize = 256;

/// Longest SPIFFE id, in bytes (SPIFFE-ID, 2.3).
const MAX_SPIFFE: usize = 2048;

const SPIFFE: &str = "spiffe://";

/// The names in a verified client certificate. A name that is too long or holds control characters is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject, as RFC 4514 writes it.
    pub subject: Arc<str>,
    /// The subject's common name.
    pub common_name: Option<Arc<str>>,
    /// The subject's organisation.
    pub organisation: Option<Arc<str>>,
    /// The subject's organisational unit.
    pub unit: Option<Arc<str>>,
    /// The SPIFFE id. A certificate with more than one URI has none (X509-SVID, 2).
    pub spiffe: Option<Arc<str>>,
    /// The first DNS name.
    pub dns: Option<Arc<str>>,
    /// The first mail address.
    pub email: Option<Arc<str>>,
}

impl ClientCertificate {
    /// From its DER.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let mut found = Self {
            subject: subject.to_string().into(),
            common_name: only(subject.iter_common_name()),
            organisation: only(subject.iter_organization()),
            unit: only(subject.iter_organizational_unit()),
            ..Self::default()
        };
        let Ok(Some(others)) = certificate.subject_alternative_name() else { return Some(found) };
        let mut uris = Vec::new();
        for other in &others.value.general_names {
            match other {
                GeneralName::URI(uri) => uris.push(*uri),
                GeneralName::DNSName(dns) => found.dns = found.dns.or_else(|| name(dns)),
                GeneralName::RFC822Name(email) => found.email = found.email.or_else(|| name(email)),
                _ => {}
            }
        }
        if let [uri] = uris.as_slice() {
            found.spiffe = is_spiffe_id(uri).then(|| Arc::from(*uri));
        }
        Some(found)
    }

    /// The trust domain of the SPIFFE id.
    pub fn trust_domain(&self) -> Option<&str> {
        let rest = self.spiffe.as_deref()?.strip_prefix(SPIFFE)?;
        Some(rest.split_once('/').map_or(rest, |(domain, _)| domain))
    }
}

/// The value of an attribute that is there once; of several, none can be told to be the right one.
fn only<'a>(mut values: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Option<Arc<str>> {
    let first = values.next()?;
    if values.next().is_some() { None } else { first.as_str().ok().and_then(name) }
}

fn name(text: &str) -> Option<Arc<str>> {
    let fits = !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    fits.then(|| Arc::from(text))
}

/// Whether it is a SPIFFE id of a workload (SPIFFE-ID, 2): `spiffe://trust-domain/path`, without port, query or dots.
fn is_spiffe_id(uri: &str) -> bool {
    let Some((domain, path)) = uri.strip_prefix(SPIFFE).and_then(|rest| rest.split_once('/')) else { return false };
    let in_domain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    uri.len() <= MAX_SPIFFE
        && !domain.is_empty()
        && domain.len() <= 255
        && domain.bytes().all(in_domain)
        && path.split('/').all(|segment| !matches!(segment, "" | "." | "..") && segment.bytes().all(in_path))
}
