//! Certificates and keys as files in PEM, and what tells that a file has changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::{Decode, SecretDocument};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::Refusal;
use super::certificate::public_key;

/// A certificate's file, the file of its key, and the key's passphrase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPair {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub passphrase: String,
}

impl KeyPair {
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Refusal> {
        let chain = certificates(&self.certificate).map_err(|reason| {
            format!("Failed to load certificate: {}: {reason}", self.certificate.display())
        })?;
        let key_refused =
            |reason| format!("Failed to load private key: {}: {reason}", self.key.display());
        let key = private_key(&self.key, &self.passphrase).map_err(key_refused)?;
        let key = provider.key_provider.load_private_key(key).map_err(|error| {
            key_refused(format!(
                "{error} (RSA keys of 2048 to 8192 bits, P-256, P-384 and Ed25519 are known)"
            ))
        })?;
        // A certificate that can't be read is one for the peer to judge.
        let wanted = public_key(&chain[0]);
        if let (Some(wanted), Some(found)) = (wanted, key.public_key())
            && wanted[..] != found[..]
        {
            return Err(key_refused("it is not the key of the certificate".into()));
        }
        Ok(Arc::new(CertifiedKey::new(chain, key)))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| system_text(&error))
}

/// The error as the system words it: `No such file or directory`.
fn system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// The certificates in a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in it".into()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

/// The first key in a file.
fn private_key(path: &Path, passphrase: &str) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    if contains(&text, b"Proc-Type: 4,ENCRYPTED") {
        return Err("it is encrypted in OpenSSL's old format, which is not known here; \
                    'openssl pkcs8 -topk8 -in OLD -out NEW' makes one that is"
            .into());
    }
    match PrivateKeyDer::from_pem_slice(&text) {
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {}
        key => return key.map_err(|error| error.to_string()),
    }
    let text = String::from_utf8(text).map_err(|_| "it is not text in PEM")?;
    let Some(section) = section(&text, "ENCRYPTED PRIVATE KEY") else {
        return Err("there is no private key in it".into());
    };
    if passphrase.is_empty() {
        return Err("it is encrypted, and there is no passphrase".into());
    }
    decrypt(section, passphrase)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The part of a text in PEM that has this label, with its first and last line.
fn section<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let start = text.find(&begin)?;
    let len = text[start..].find(&end)? + end.len();
    Some(&text[start..start + len])
}

/// Decrypts a key of PKCS #8 in PEM.
fn decrypt(pem: &str, passphrase: &str) -> Result<PrivateKeyDer<'static>, String> {
    let unreadable = |error: pkcs8::der::Error| format!("its encryption can't be read: {error}");
    let (_, document) = SecretDocument::from_pem(pem).map_err(unreadable)?;
    let info = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).map_err(unreadable)?;
    let key = info.decrypt(passphrase).map_err(
        |_| "its passphrase is wrong, or its encryption is not one of AES with PBKDF2 or scrypt",
    )?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The certificates of authorities in a file, or in all files of a directory, or both. Says which it could not use.
pub(super) fn authorities(file: &Path, directory: &Path) -> Result<Authorities, Refusal> {
    let refused = |path: &Path, reason: String| {
        let text = "Failed to configure CA certificate(s) file/directory";
        format!("{text}: {}: {reason}", path.display())
    };
    let mut found = Authorities { roots: RootCertStore::empty(), certificates: Vec::new() };
    if !file.as_os_str().is_empty() {
        found.add(certificates(file).map_err(|reason| refused(file, reason))?);
        if found.roots.is_empty() {
            return Err(refused(file, "none of its certificates can be read".into()));
        }
    }
    if !directory.as_os_str().is_empty() {
        let entries = fs::read_dir(directory);
        let entries = entries.map_err(|error| refused(directory, system_text(&error)))?;
        for entry in entries.flatten() {
            // Other files may lie beside them.
            if let Ok(certificates) = certificates(&entry.path()) {
                found.add(certificates);
            }
        }
        if found.roots.is_empty() {
            return Err(refused(directory, "there is no certificate in it".into()));
        }
    }
    Ok(found)
}

/// Authorities whose certificates are trusted.
pub(super) struct Authorities {
    pub(super) roots: RootCertStore,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

impl Authorities {
    fn add(&mut self, certificates: Vec<CertificateDer<'static>>) {
        for certificate in certificates {
            if self.roots.add(certificate.clone()).is_ok() {
                self.certificates.push(certificate);
            }
        }
    }
}

/// A file's state, which differs after every change of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Option<(u64, u64, i64, i64, u64)>)>);

impl Fingerprint {
    /// Adds a file, or a directory with its files; nothing if the path is empty.
    pub fn add(&mut self, path: &Path) {
        if path.as_os_str().is_empty() {
            return;
        }
        let state = fs::metadata(path).ok().map(|found| {
            (found.dev(), found.ino(), found.mtime(), found.mtime_nsec(), found.size())
        });
        let is_directory = path.is_dir();
        self.0.push((path.to_owned(), state));
        if is_directory && let Ok(entries) = fs::read_dir(path) {
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            // No deeper: certificates lie in the directory itself.
            paths.retain(|path| !path.is_dir());
            paths.iter().for_each(|path| self.add(path));
        }
    }
}
