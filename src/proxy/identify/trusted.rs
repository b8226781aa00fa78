//! What peers that are believed say of the caller: headers of trusted proxies, names in client certificates.

use std::sync::Arc;

use hyper::HeaderMap;

use super::IdentityError;
use crate::config::identity_settings::{CertificateName, Identity};
use crate::proxy::listen::ClientCertificate;

/// Longest name taken from a header, in bytes.
const MAX_NAME: usize = 256;

/// Most groups of one user.
const MAX_GROUPS: usize = 256;

/// What trusted headers say.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) tenant: Option<Arc<str>>,
    pub(super) team: Option<Arc<str>>,
    pub(super) user: Option<Arc<str>>,
    pub(super) groups: Arc<[Arc<str>]>,
    pub(super) agent: Option<Arc<str>>,
}

impl Said {
    /// Of a request from a trusted peer. A header that is there twice is an attempt to say two things: whoever is behind
    /// the peer may have added one.
    pub(super) fn read(headers: &HeaderMap, settings: &Identity) -> Result<Self, IdentityError> {
        let name = |header: &Option<String>, what| match text(headers, header.as_deref(), what)? {
            Some(text) if text.len() > MAX_NAME => Err(IdentityError::BadHeader(what)),
            text => Ok(text.map(Arc::from)),
        };
        let groups = text(headers, settings.groups_header.as_deref(), "groups")?.unwrap_or_default();
        let groups: Vec<&str> = groups.split(',').map(str::trim).filter(|group| !group.is_empty()).collect();
        if groups.len() > MAX_GROUPS || groups.iter().any(|group| group.len() > MAX_NAME) {
            return Err(IdentityError::BadHeader("groups"));
        }
        Ok(Self {
            tenant: name(&settings.tenant_header, "tenant")?,
            team: name(&settings.team_header, "team")?,
            user: name(&settings.user_header, "user")?,
            groups: groups.into_iter().map(Arc::from).collect(),
            agent: name(&settings.agent_header, "agent")?,
        })
    }
}

/// The one value of a header; `None` if it is missing or empty.
fn text<'a>(
    headers: &'a HeaderMap,
    header: Option<&str>,
    what: &'static str,
) -> Result<Option<&'a str>, IdentityError> {
    let Some(header) = header else { return Ok(None) };
    let mut values = headers.get_all(header).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(IdentityError::BadHeader(what));
    }
    let text = std::str::from_utf8(first.as_bytes()).map_err(|_| IdentityError::BadHeader(what))?.trim();
    if text.chars().any(char::is_control) {
        return Err(IdentityError::BadHeader(what));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The headers by which trusted peers tell who the caller is: from whomever they come, none of them travels on.
pub fn names_to_strip(settings: &Identity) -> impl Iterator<Item = &str> {
    settings.headers()
}

/// Whether a name is taken from a SPIFFE id.
pub(super) fn is_spiffe(name: CertificateName) -> bool {
    matches!(name, CertificateName::Spiffe | CertificateName::SpiffeTrustDomain)
}

/// A name of a certificate's holder.
pub(super) fn certificate_name(
    certificate: &ClientCertificate,
    name: CertificateName,
    is_user: bool,
) -> Option<Arc<str>> {
    match name {
        CertificateName::Default => is_user.then(|| Arc::clone(&certificate.subject)),
        CertificateName::None => None,
        CertificateName::Subject => Some(Arc::clone(&certificate.subject)),
        CertificateName::SubjectCn => certificate.common_name.clone(),
        CertificateName::SubjectO => certificate.organisation.clone(),
        CertificateName::SubjectOu => certificate.unit.clone(),
        CertificateName::Spiffe => certificate.spiffe.clone(),
        CertificateName::SpiffeTrustDomain => certificate.trust_domain().map(Arc::from),
        CertificateName::SanDns => certificate.dns.clone(),
        CertificateName::SanEmail => certificate.email.clone(),
    }
}
