//! The development certificate: a CA and a leaf of our own, so that a first start serves HTTPS.

use std::fs::{self, OpenOptions, Permissions, rename, set_permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

use super::tls::{TlsError, certificates, verify};
use crate::config::settings::Tls;

/// How long a leaf is valid; several clients take none that lasts longer than 398 days.
const LEAF_DAYS: i64 = 90;
const CA_DAYS: i64 = 3650;
/// A certificate that ends sooner than this is made anew.
const RENEW_BEFORE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where the development certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevCertificate {
    /// The CA clients have to trust.
    pub ca: PathBuf,
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's key.
    pub key: PathBuf,
    /// Whether anything was made now rather than found.
    pub made: bool,
}

impl DevCertificate {
    /// How to make clients trust it: lines of text for the operator.
    pub fn how_to_trust(&self) -> String {
        let ca = fs::canonicalize(&self.ca).unwrap_or_else(|_| self.ca.clone());
        let ca = ca.display();
        format!(
            "TLS uses a development certificate. Clients trust it through its CA:\n  \
             curl, Python, Go:  export SSL_CERT_FILE={ca}\n  \
             Node.js:           export NODE_EXTRA_CA_CERTS={ca}\n  \
             Python requests:   export REQUESTS_CA_BUNDLE={ca}\n  \
             Python httpx:      httpx.Client(verify=ssl.create_default_context(cafile=\"{ca}\"))\n\
             For production set tls.certificate and tls.key."
        )
    }
}

/// Finds the development certificate in `tls.dev_directory`, or makes it: also when it ends within seven days or is not
/// for `tls.dev_names`. The CA is kept as long as it is good.
///
/// # Errors
/// A file cannot be read or written, or a name cannot be put into a certificate.
pub fn ensure(tls: &Tls) -> Result<DevCertificate, TlsError> {
    let directory = &tls.dev_directory;
    let paths = |name: &str| directory.join(name);
    let mut found =
        DevCertificate { ca: paths("ca.pem"), certificate: paths("server.pem"), key: paths("server.key"), made: false };
    let ca_key = paths("ca.key");
    if found.key.exists() && is_good(&found, &tls.dev_names) {
        return Ok(found);
    }
    fs::create_dir_all(directory).map_err(|source| TlsError::Read { path: directory.clone(), source })?;
    let issuer = match read_ca(&found.ca, &ca_key) {
        Some(issuer) => issuer,
        None => make_ca(&found.ca, &ca_key)?,
    };
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(tls.dev_names.clone())?;
    leaf.distinguished_name = name("Portcullis development certificate");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.use_authority_key_identifier_extension = true;
    (leaf.not_before, leaf.not_after) = lifetime(LEAF_DAYS);
    let certificate = leaf.signed_by(&key, &issuer)?;
    write(&found.key, key.serialize_pem().as_bytes(), 0o600)?;
    write(&found.certificate, certificate.pem().as_bytes(), 0o644)?;
    found.made = true;
    Ok(found)
}

/// Whether the leaf is signed by the CA beside it, for every name, and will be next week.
fn is_good(found: &DevCertificate, names: &[String]) -> bool {
    let (Ok(ca), Ok(chain)) = (certificates(&found.ca), certificates(&found.certificate)) else { return false };
    let Some(leaf) = chain.first() else { return false };
    names.iter().all(|name| is_good_for(leaf, &ca, name))
}

fn is_good_for(leaf: &CertificateDer<'_>, ca: &[CertificateDer<'static>], name: &str) -> bool {
    let next_week = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + RENEW_BEFORE);
    matches!(verify(leaf, ca, name, next_week), Ok(Ok(())))
}

/// The CA of an earlier start, if it can still sign and outlives a new leaf.
fn read_ca(certificate: &Path, key: &Path) -> Option<Issuer<'static, KeyPair>> {
    let pem = fs::read_to_string(certificate).ok()?;
    let key = KeyPair::from_pem(&fs::read_to_string(key).ok()?).ok()?;
    let der = certificates(certificate).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(der.first()?).ok()?;
    let outlives = parsed.validity().not_after.timestamp() > lifetime(LEAF_DAYS).1.unix_timestamp();
    let same_key = parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw();
    if outlives && same_key { Issuer::from_ca_cert_pem(&pem, key).ok() } else { None }
}

fn make_ca(certificate: &Path, key_path: &Path) -> Result<Issuer<'static, KeyPair>, TlsError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = name("Portcullis development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = lifetime(CA_DAYS);
    let ca = params.self_signed(&key)?;
    write(key_path, key.serialize_pem().as_bytes(), 0o600)?;
    write(certificate, ca.pem().as_bytes(), 0o644)?;
    Ok(Issuer::new(params, key))
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// From an hour ago, for clients whose clock is behind.
fn lifetime(days: i64) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - time::Duration::hours(1), now + time::Duration::days(days))
}

/// Whole or not at all, and never readable by others in between.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    let write = || -> io::Result<()> {
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        set_permissions(&temporary, Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        rename(&temporary, path)
    };
    write().map_err(|source| TlsError::Read { path: path.to_owned(), source })
}
