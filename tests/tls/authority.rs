//! Certificates for the tests, made when they are needed.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};

/// An authority, and the directory in which it writes what it issues.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

/// A certificate's file and its key's.
#[derive(Clone)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.crt"), issuer.pem()).unwrap();
        Authority { issuer, dir }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The file of its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// Issues a certificate with this common name.
    pub fn issue(&self, name: &str) -> Identity {
        self.issue_as(name, named(name))
    }

    /// Issues one that is no longer valid.
    pub fn issue_expired(&self, name: &str) -> Identity {
        let mut params = named(name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.issue_as(name, params)
    }

    /// Issues one with these URIs.
    pub fn issue_with_uris(&self, name: &str, uris: &[&str]) -> Identity {
        let mut params = named(name);
        let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
        params.subject_alt_names.extend(uris.iter().map(uri));
        self.issue_as(name, params)
    }

    fn issue_as(&self, name: &str, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |extension: &str| self.dir.path().join(format!("{name}.{extension}"));
        let identity = Identity { certificate: file("crt"), key: file("key") };
        std::fs::write(&identity.certificate, certificate.pem()).unwrap();
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Identity {
    /// As options of a server.
    pub fn server_options(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        vec![
            "--tls-cert-file".into(),
            path(&self.certificate),
            "--tls-key-file".into(),
            path(&self.key),
        ]
    }

    /// As options of a tool.
    pub fn tool_options(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        vec!["--cert".into(), path(&self.certificate), "--key".into(), path(&self.key)]
    }
}
