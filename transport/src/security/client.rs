//! The configuration of the client's side.
//!
//! As with Valkey's tools, a server's certificate is checked against the authorities, and not for the server's name: such
//! certificates seldom have one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::cipher_list::{Ciphers, protocols};
use super::files::{Fingerprint, KeyPair, authorities};
use super::{CertificateFacts, Refusal};

/// The servers that a client trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those with a certificate of an authority in a file or a directory's files; where both are empty, of the
    /// system's authorities.
    Authorities { file: PathBuf, directory: PathBuf },
    /// Every one.
    Anyone,
}

/// The files and choices that a configuration is made of. Empty texts are choices not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate to show to servers that ask for one.
    pub key_pair: Option<KeyPair>,
    pub trust: Trust,
    /// The name of the server that it is told (SNI).
    pub server_name: Option<String>,
    pub protocols: String,
    pub ciphers: Ciphers,
}

/// A configuration, and what reports tell of it.
pub struct ClientContext {
    pub(crate) config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    /// The client's certificate.
    pub certificate: Option<CertificateFacts>,
    /// Sentences for the log: what of the configuration has no effect.
    pub notes: Vec<String>,
}

impl fmt::Debug for ClientContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientContext").field("certificate", &self.certificate).finish()
    }
}

/// One is like no other: each keeps sessions of its own.
impl PartialEq for ClientContext {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for ClientContext {}

impl ClientContext {
    /// The name of a server that is found by this name or address.
    pub(crate) fn server_name(&self, host: &str) -> ServerName<'static> {
        // No server learns it unless it was chosen, and none is checked for it.
        let nameless = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.server_name.clone().unwrap_or_else(|| {
            ServerName::try_from(host.to_owned()).unwrap_or(ServerName::IpAddress(nameless.into()))
        })
    }
}

impl ClientFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// If one is missing or can't be used.
    pub fn load(&self) -> Result<ClientContext, Refusal> {
        let protocols = protocols(&self.protocols)?;
        let (provider, notes) = self.ciphers.provider()?;
        let provider = Arc::new(provider);
        let key = self.key_pair.as_ref().map(|pair| pair.load(&provider)).transpose()?;
        let trusted = match &self.trust {
            Trust::Anyone => None,
            Trust::Authorities { file, directory } => Some(roots(file, directory)?),
        };
        let algorithms = provider.signature_verification_algorithms;
        let certificate = key.as_ref().and_then(|key| CertificateFacts::new(&key.cert[0]));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&protocols)
            .map_err(|error| format!("Failed to configure TLS: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Chain { trusted, algorithms }))
            .with_client_cert_resolver(Arc::new(Shown(key)));
        config.enable_sni = self.server_name.is_some();
        let server_name =
            match &self.server_name {
                None => None,
                Some(name) => Some(ServerName::try_from(name.clone()).map_err(|_| {
                    format!("'{name}' is not a name that a server can be told (SNI)")
                })?),
            };
        Ok(ClientContext { config: Arc::new(config), server_name, certificate, notes })
    }

    /// The state of the files, to be compared with a later one.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut state = Fingerprint::default();
        if let Some(KeyPair { certificate, key, .. }) = &self.key_pair {
            state.add(certificate);
            state.add(key);
        }
        if let Trust::Authorities { file, directory } = &self.trust {
            state.add(file);
            state.add(directory);
        }
        state
    }
}

fn roots(file: &Path, directory: &Path) -> Result<RootCertStore, Refusal> {
    if !file.as_os_str().is_empty() || !directory.as_os_str().is_empty() {
        return Ok(authorities(file, directory)?.roots);
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(
            "The system has no certificates of authorities; name them, or trust every server"
                .into(),
        );
    }
    Ok(roots)
}

/// The certificate that is shown to each server that asks for one, whatever authorities the server names.
#[derive(Debug)]
struct Shown(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// Checks a server's certificate against the trusted authorities, or not at all.
#[derive(Debug)]
struct Chain {
    trusted: Option<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(trusted) = &self.trusted {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                trusted,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
