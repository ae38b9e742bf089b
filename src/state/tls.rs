//! TLS as the settings describe it: which files and choices they name, and the configurations that are in force.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use verbena_transport::ConnectionInfo;
use verbena_transport::security::{
    CertificateFacts, Ciphers, ClientAuth, ClientContext, ClientFiles, Fingerprint, KeyPair,
    ServerContext, ServerFiles, Trust,
};

use super::{ControlRequest, Server};
use crate::config::{Settings, TlsAuthClients, TlsAuthClientsUser};
use crate::log;

/// The configurations in force. There are none while nothing uses TLS.
#[derive(Default)]
pub struct Tls {
    server: ArcSwapOption<ServerContext>,
    /// For connections that this server makes.
    client: ArcSwapOption<ClientContext>,
    /// The files that they were made of, as they were then.
    files: Mutex<Fingerprint>,
}

/// Configurations that are not in force yet.
pub struct LoadedTls {
    pub server: Option<Arc<ServerContext>>,
    client: Option<Arc<ClientContext>>,
    files: Fingerprint,
}

/// Whether anything uses TLS.
pub fn uses_tls(settings: &Settings) -> bool {
    settings.tls_port != 0 || settings.tls_replication || settings.tls_cluster
}

/// Whether both settings describe the same configurations.
pub fn same_tls(a: &Settings, b: &Settings) -> bool {
    uses_tls(a) == uses_tls(b)
        && server_files(a) == server_files(b)
        && client_files(a) == client_files(b)
        && a.tls_dh_params_file == b.tls_dh_params_file
        && a.tls_replication == b.tls_replication
        && a.tls_cluster == b.tls_cluster
}

/// The users that the certificate of a client names, the one to try first before the others
/// (`tls-auth-clients-user`).
pub fn certificate_users<'a>(
    settings: &Settings,
    info: &'a ConnectionInfo,
) -> impl Iterator<Item = &'a str> {
    let certificate = info.certificate.as_deref();
    let (name, uris) = match (settings.tls_auth_clients_user, certificate) {
        (TlsAuthClientsUser::Cn, Some(certificate)) => {
            (certificate.common_name.as_deref(), &[][..])
        }
        (TlsAuthClientsUser::Uri, Some(certificate)) => (None, &certificate.uris[..]),
        _ => (None, &[][..]),
    };
    name.into_iter().chain(uris.iter().map(String::as_str))
}

fn ciphers(settings: &Settings) -> Ciphers {
    Ciphers { tls12: settings.tls_ciphers.clone(), tls13: settings.tls_ciphersuites.clone() }
}

fn server_files(settings: &Settings) -> ServerFiles {
    ServerFiles {
        key_pair: KeyPair {
            certificate: settings.tls_cert_file.clone().into(),
            key: settings.tls_key_file.clone().into(),
            passphrase: settings.tls_key_file_pass.clone(),
        },
        authorities_file: settings.tls_ca_cert_file.clone().into(),
        authorities_directory: settings.tls_ca_cert_dir.clone().into(),
        client_auth: match settings.tls_auth_clients {
            TlsAuthClients::No => ClientAuth::None,
            TlsAuthClients::Optional => ClientAuth::Optional,
            TlsAuthClients::Yes => ClientAuth::Required,
        },
        protocols: settings.tls_protocols.clone(),
        ciphers: ciphers(settings),
        prefer_own_order: settings.tls_prefer_server_ciphers,
        sessions: settings.tls_session_caching.then_some((
            settings.tls_session_cache_size as usize,
            settings.tls_session_cache_timeout as u64,
        )),
    }
}

/// A server without a certificate for its own connections shows the one that it has for its clients.
fn client_files(settings: &Settings) -> ClientFiles {
    let (certificate, key, passphrase) = if settings.tls_client_cert_file.is_empty() {
        (&settings.tls_cert_file, &settings.tls_key_file, &settings.tls_key_file_pass)
    } else {
        let pass = &settings.tls_client_key_file_pass;
        (&settings.tls_client_cert_file, &settings.tls_client_key_file, pass)
    };
    ClientFiles {
        key_pair: Some(KeyPair {
            certificate: certificate.into(),
            key: key.into(),
            passphrase: passphrase.clone(),
        }),
        trust: Trust::Authorities {
            file: settings.tls_ca_cert_file.clone().into(),
            directory: settings.tls_ca_cert_dir.clone().into(),
        },
        server_name: None,
        protocols: settings.tls_protocols.clone(),
        ciphers: ciphers(settings),
    }
}

impl LoadedTls {
    /// Reads the files that the settings name. Nothing is made if nothing uses TLS.
    ///
    /// # Errors
    /// If one is missing or can't be used: the sentence is for the log.
    pub fn new(settings: &Settings) -> Result<LoadedTls, String> {
        if !uses_tls(settings) {
            return Ok(LoadedTls { server: None, client: None, files: Fingerprint::default() });
        }
        let (server, client) = (server_files(settings), client_files(settings));
        let nobody_trusted = server.authorities_file.as_os_str().is_empty()
            && server.authorities_directory.as_os_str().is_empty();
        let asks = server.client_auth != ClientAuth::None;
        if nobody_trusted && has_key_pair(&server) && (asks || is_client(settings)) {
            return Err(
                "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, \
                        tls-replication or tls-auth-clients are enabled!"
                    .into(),
            );
        }
        let dh_params = PathBuf::from(&settings.tls_dh_params_file);
        if !settings.tls_dh_params_file.is_empty()
            && let Err(error) = std::fs::metadata(&dh_params)
        {
            let reason = crate::config::system_text(&error);
            return Err(format!("Failed to load {}: {reason}", dh_params.display()));
        }
        // Before they are read: a change that comes meanwhile is noticed later.
        let files = fingerprint(settings);
        let loaded_server = Arc::new(server.load()?);
        let shows_own = !settings.tls_client_cert_file.is_empty();
        let client = if is_client(settings) || shows_own && !nobody_trusted {
            Some(Arc::new(client.load()?))
        } else {
            None
        };
        loaded_server.notes.iter().for_each(log::warning);
        if !settings.tls_dh_params_file.is_empty() {
            log::notice(
                "tls-dh-params-file is not used: every cipher here takes its keys from elliptic curves.",
            );
        }
        Ok(LoadedTls { server: Some(loaded_server), client, files })
    }
}

fn has_key_pair(files: &ServerFiles) -> bool {
    let KeyPair { certificate, key, .. } = &files.key_pair;
    !certificate.as_os_str().is_empty() && !key.as_os_str().is_empty()
}

/// Whether the server makes TLS connections itself.
fn is_client(settings: &Settings) -> bool {
    settings.tls_replication || settings.tls_cluster
}

fn fingerprint(settings: &Settings) -> Fingerprint {
    let mut files = server_files(settings).fingerprint();
    if !settings.tls_client_cert_file.is_empty() {
        files.add(settings.tls_client_cert_file.as_ref());
        files.add(settings.tls_client_key_file.as_ref());
    }
    files
}

impl Tls {
    /// Puts configurations in force.
    pub fn store(&self, loaded: LoadedTls) {
        *self.files.lock() = loaded.files;
        self.server.store(loaded.server);
        self.client.store(loaded.client);
    }

    /// The configuration of the server's side.
    pub fn server(&self) -> Option<Arc<ServerContext>> {
        self.server.load_full()
    }

    /// The configuration for connections that this server makes.
    pub fn client(&self) -> Option<Arc<ClientContext>> {
        self.client.load_full()
    }

    /// The certificates in use: the server's, the one that it shows as a client, and the authority's that expires
    /// first.
    pub fn certificates(&self) -> [Option<CertificateFacts>; 3] {
        let (server, client) = (self.server(), self.client());
        [
            server.as_ref().and_then(|context| context.certificate.clone()),
            client.and_then(|context| context.certificate.clone()),
            server.and_then(|context| context.authority.clone()),
        ]
    }
}

impl Server {
    /// Reads the files again, if one has changed since they were read; what can't be used leaves everything as it was.
    pub fn reload_changed_tls(&self) {
        // No CONFIG SET comes between.
        let _alone = self.config.change();
        let settings = self.config.load();
        if !uses_tls(&settings) {
            return;
        }
        let now = fingerprint(&settings);
        if *self.tls.files.lock() == now {
            return;
        }
        match LoadedTls::new(&settings) {
            Ok(loaded) => {
                self.tls.store(loaded);
                log::notice(
                    "TLS certificates and keys were loaded again: their files have changed.",
                );
                // The control thread ends only with the process.
                let _ = self.control.send(ControlRequest::Adjust(settings));
            }
            Err(text) => {
                // Not again before the next change.
                *self.tls.files.lock() = now;
                log::warning(format_args!(
                    "TLS goes on as it was, since changed files can't be used: {text}"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use verbena_transport::security::PeerCertificate;
    use verbena_transport::{Endpoint, unix};

    use super::*;

    #[test]
    fn the_settings_say_which_name_of_a_certificate_is_a_user() {
        let nowhere = Endpoint::Path(PathBuf::new());
        let certificate = PeerCertificate {
            common_name: Some("common".into()),
            uris: vec!["urn:1".into(), "urn:2".into()],
        };
        let mut info = ConnectionInfo {
            backend: &unix::BACKEND,
            peer: nowhere.clone(),
            local: nowhere,
            fd: None,
            certificate: Some(Arc::new(certificate)),
        };
        for (choice, users) in [
            (TlsAuthClientsUser::Off, &[][..]),
            (TlsAuthClientsUser::Cn, &["common"]),
            (TlsAuthClientsUser::Uri, &["urn:1", "urn:2"]),
        ] {
            let settings = Settings { tls_auth_clients_user: choice, ..Settings::default() };
            assert!(certificate_users(&settings, &info).eq(users.iter().copied()));
        }
        info.certificate = None;
        let settings =
            Settings { tls_auth_clients_user: TlsAuthClientsUser::Cn, ..Settings::default() };
        assert_eq!(certificate_users(&settings, &info).count(), 0);
    }

    #[test]
    fn a_server_with_rdma_is_told_that_tls_does_not_apply_to_it() {
        let settings = Settings { tls_port: 1, rdma_port: 2, ..Settings::default() };
        assert!(settings.unmet().iter().any(|text| text.starts_with("TLS does not apply to RDMA")));
        assert!(Settings { tls_port: 1, ..Settings::default() }.unmet().is_empty());
    }
}
