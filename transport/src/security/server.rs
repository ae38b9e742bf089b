//! The configuration of the server's side.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;

use super::cipher_list::{Ciphers, protocols};
use super::files::{Authorities, Fingerprint, KeyPair, authorities};
use super::sessions::Sessions;
use super::{CertificateFacts, Refusal};

/// Sessions that are kept where the configuration does not limit them: OpenSSL's default.
const USUAL_SESSIONS: usize = 20 * 1024;

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    #[default]
    None,
    /// Those that have one do. One that is not trusted ends the handshake.
    Optional,
    Required,
}

/// The files and choices that a configuration is made of. Empty paths and texts are choices not made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFiles {
    pub key_pair: KeyPair,
    pub authorities_file: PathBuf,
    pub authorities_directory: PathBuf,
    pub client_auth: ClientAuth,
    pub protocols: String,
    pub ciphers: Ciphers,
    /// This side's order of ciphers counts, not the client's.
    pub prefer_own_order: bool,
    /// Sessions that may be resumed, and for how many seconds; none are kept without it. Zero is no limit.
    pub sessions: Option<(usize, u64)>,
}

/// A configuration, and what reports tell of it.
#[derive(Debug)]
pub struct ServerContext {
    pub(crate) config: Arc<ServerConfig>,
    /// The server's certificate.
    pub certificate: Option<CertificateFacts>,
    /// Of the authorities' certificates, the one that expires first.
    pub authority: Option<CertificateFacts>,
    /// Sentences for the log: what of the configuration has no effect.
    pub notes: Vec<String>,
}

/// One is like no other: each keeps sessions of its own.
impl PartialEq for ServerContext {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for ServerContext {}

impl ServerFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// If one is missing or can't be used.
    pub fn load(&self) -> Result<ServerContext, Refusal> {
        if self.key_pair.certificate.as_os_str().is_empty() {
            return Err("No tls-cert-file configured!".into());
        }
        if self.key_pair.key.as_os_str().is_empty() {
            return Err("No tls-key-file configured!".into());
        }
        let protocols = protocols(&self.protocols)?;
        let (provider, notes) = self.ciphers.provider()?;
        let provider = Arc::new(provider);
        let key = self.key_pair.load(&provider)?;
        let trusted = authorities(&self.authorities_file, &self.authorities_directory)?;
        let unusable = |error: rustls::Error| format!("Failed to configure TLS: {error}");
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&protocols)
            .map_err(unusable)?;
        let certificate = CertificateFacts::new(&key.cert[0]);
        let facts = trusted.certificates.iter().filter_map(CertificateFacts::new);
        let authority = facts.min_by_key(|facts| facts.expires);
        let verifier = self.verifier(trusted, provider)?;
        let mut config = builder
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.ignore_client_order = self.prefer_own_order;
        config.session_storage = match self.sessions {
            None => Arc::new(NoServerSessionStorage {}),
            Some((most, seconds)) => {
                let most = if most == 0 { USUAL_SESSIONS } else { most };
                Arc::new(Sessions::new(most, Duration::from_secs(seconds)))
            }
        };
        if self.sessions.is_none() {
            config.send_tls13_tickets = 0;
        }
        Ok(ServerContext { config: Arc::new(config), certificate, authority, notes })
    }

    fn verifier(
        &self,
        trusted: Authorities,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, Refusal> {
        if self.client_auth == ClientAuth::None {
            return Ok(WebPkiClientVerifier::no_client_auth());
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(trusted.roots), provider);
        let builder = match self.client_auth {
            ClientAuth::Optional => builder.allow_unauthenticated(),
            _ => builder,
        };
        builder.build().map_err(|error| format!("Failed to configure CA certificate(s): {error}"))
    }

    /// The state of the files, to be compared with a later one.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut state = Fingerprint::default();
        let KeyPair { certificate, key, .. } = &self.key_pair;
        let files = [certificate, key, &self.authorities_file, &self.authorities_directory];
        files.into_iter().for_each(|path| state.add(path));
        state
    }
}
