//! Ed25519 keys: the one that signs checkpoints, and those that are believed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use super::AuditError;
use super::chain::sha256;
use crate::types::{base64, hex, unhex};

/// What a `SubjectPublicKeyInfo` of an Ed25519 key begins with (RFC 8410); the 32 bytes of the key follow.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The key that signs.
const PRIVATE: &str = "signing.key";
/// The key that will sign once the trail has introduced it.
const NEXT: &str = "signing.key.next";
/// Its public half.
const PUBLIC: &str = "signing.pub.pem";
/// The public halves of all keys of this directory.
const ALL_PUBLIC: &str = "keys";

/// The key that signs, in memory. `Debug` shows its id.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

impl SigningKey {
    /// Reads the key of a directory, or makes one there, readable by its owner only; its public half is put beside it.
    ///
    /// # Errors
    /// When a file cannot be read or written, or is no such key.
    pub fn open(directory: &Path) -> Result<Self, AuditError> {
        let path = directory.join(PRIVATE);
        let key = match fs::read(&path) {
            Ok(pem) => Self::from_pem(&pem).ok_or_else(|| AuditError::NoKey(path.clone()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(&path)?,
            Err(error) => return Err(AuditError::file(&path, error)),
        };
        key.publish(directory)?;
        Ok(key)
    }

    /// Makes the key that is to follow this directory's key, or reads it if it was made before.
    pub(super) fn next(directory: &Path) -> Result<Self, AuditError> {
        let path = directory.join(NEXT);
        match Self::waiting(directory)? {
            Some(key) => Ok(key),
            None => Self::make(&path),
        }
    }

    /// The key that was made to follow, when the change was not completed.
    pub(super) fn waiting(directory: &Path) -> Result<Option<Self>, AuditError> {
        let path = directory.join(NEXT);
        match fs::read(&path) {
            Ok(pem) => Self::from_pem(&pem).map(Some).ok_or(AuditError::NoKey(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AuditError::file(&path, error)),
        }
    }

    /// Puts the next key into the place of the directory's key; the old private key is gone.
    pub(super) fn succeed(&self, directory: &Path) -> Result<(), AuditError> {
        let path = directory.join(PRIVATE);
        fs::rename(directory.join(NEXT), &path).map_err(|error| AuditError::file(&path, error))?;
        self.publish(directory)
    }

    fn make(path: &Path) -> Result<Self, AuditError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| AuditError::NoKey(path.to_owned()))?;
        let document = pair.to_pkcs8v1().map_err(|_| AuditError::NoKey(path.to_owned()))?;
        write_new(path, 0o600, pem("PRIVATE KEY", document.as_ref()).as_bytes())
            .map_err(|error| AuditError::file(path, error))?;
        Ok(Self::of(pair))
    }

    fn from_pem(pem: &[u8]) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
        Some(Self::of(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok()?))
    }

    fn of(pair: Ed25519KeyPair) -> Self {
        let mut raw = [0; 32];
        for (to, from) in raw.iter_mut().zip(pair.public_key().as_ref()) {
            *to = *from;
        }
        Self { public: PublicKey(raw), pair }
    }

    /// Writes the public half beside the key.
    fn publish(&self, directory: &Path) -> Result<(), AuditError> {
        let all = directory.join(ALL_PUBLIC);
        fs::create_dir_all(&all).map_err(|error| AuditError::file(&all, error))?;
        for path in [directory.join(PUBLIC), all.join(format!("{}.pem", self.public.id()))] {
            let pem = self.public.to_pem();
            if fs::read_to_string(&path).is_ok_and(|there| there == pem) {
                continue;
            }
            replace(&path, pem.as_bytes()).map_err(|error| AuditError::file(&path, error))?;
        }
        Ok(())
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message` in a `context`, so that a signature of one thing is none of another.
    pub fn sign(&self, context: &str, message: &[u8]) -> [u8; 64] {
        let signature = self.pair.sign(&in_context(context, message));
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(signature.as_ref()) {
            *to = *from;
        }
        bytes
    }
}

/// A key that verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The first 16 digits of the SHA-256 of the key.
    pub fn id(&self) -> String {
        let mut id = hex(&sha256(&self.0));
        id.truncate(16);
        id
    }

    /// The key itself, in hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Reads what `to_hex` writes.
    pub fn from_hex(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// `SubjectPublicKeyInfo` in PEM, as other tools read it.
    pub fn to_pem(&self) -> String {
        let der: Vec<u8> = SPKI_PREFIX.iter().chain(&self.0).copied().collect();
        pem("PUBLIC KEY", &der)
    }

    /// Whether `signature` is this key's over `message` in that `context`.
    pub fn verifies(&self, context: &str, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(&in_context(context, message), signature).is_ok()
    }
}

fn in_context(context: &str, message: &[u8]) -> Vec<u8> {
    [context.as_bytes(), b"\n", message].concat()
}

/// The keys that are believed.
#[derive(Debug, Clone, Default)]
pub struct KeyRing(Vec<PublicKey>);

impl KeyRing {
    /// Reads every public key of a PEM file, or of the `.pem` files of a directory.
    ///
    /// # Errors
    /// When a file cannot be read or holds none.
    pub fn read(path: &Path) -> Result<Self, AuditError> {
        let mut ring = Self::default();
        for file in pem_files(path).map_err(|error| AuditError::file(path, error))? {
            let text = fs::read(&file).map_err(|error| AuditError::file(&file, error))?;
            for der in SubjectPublicKeyInfoDer::pem_slice_iter(&text) {
                let der = der.map_err(|_| AuditError::NoKey(file.clone()))?;
                let raw = der.strip_prefix(&SPKI_PREFIX).and_then(|raw| <[u8; 32]>::try_from(raw).ok());
                ring.trust(PublicKey(raw.ok_or_else(|| AuditError::NoKey(file.clone()))?));
            }
        }
        if ring.0.is_empty() {
            return Err(AuditError::NoKey(path.to_owned()));
        }
        Ok(ring)
    }

    /// The keys of a trail's own directory.
    ///
    /// # Errors
    /// As of `read`.
    pub fn of_directory(directory: &Path) -> Result<Self, AuditError> {
        Self::read(&directory.join(ALL_PUBLIC))
    }

    /// Believes one more.
    pub fn trust(&mut self, key: PublicKey) {
        if !self.0.contains(&key) {
            self.0.push(key);
        }
    }

    /// Believes all of another ring.
    pub fn merge(&mut self, other: Self) {
        for key in other.0 {
            self.trust(key);
        }
    }

    /// The ids of all of them.
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(PublicKey::id).collect()
    }

    /// The key with that id.
    pub fn find(&self, id: &str) -> Option<&PublicKey> {
        self.0.iter().find(|key| key.id() == id)
    }
}

fn pem_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "pem") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Writes a file that must not exist yet, and makes sure it is on the disk.
fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_directory(path)
}

/// Replaces a file as a whole: after a crash it is the old or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    sync_directory(path)
}

/// Makes sure that the name of a file is on the disk.
pub(super) fn sync_directory(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}

/// PEM of `der`.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        text.push_str(&base64(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = SigningKey::open(directory.path()).unwrap();
        let again = SigningKey::open(directory.path()).unwrap();
        assert_eq!(first.public(), again.public());
        let mode = fs::metadata(directory.path().join(PRIVATE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_signature_holds_for_its_context_only() {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::open(directory.path()).unwrap();
        let signature = key.sign("a", b"message");
        let ring = KeyRing::read(&directory.path().join(PUBLIC)).unwrap();
        let public = ring.find(&key.public().id()).unwrap();
        assert!(public.verifies("a", b"message", &signature));
        assert!(!public.verifies("b", b"message", &signature));
        assert!(!public.verifies("a", b"massage", &signature));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(PRIVATE), "nonsense").unwrap();
        assert!(matches!(SigningKey::open(directory.path()), Err(AuditError::NoKey(_))));
    }
}
