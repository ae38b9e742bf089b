//! TLS: the options that both tools have, as Valkey's tools take them.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use verbena_transport::security::{Ciphers, ClientContext, ClientFiles, KeyPair, Trust};

/// Whether to connect over TLS, whom to trust, and what to show.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsOptions {
    /// Connect over TLS
    #[arg(long, conflicts_with_all = ["rdma", "rdma_port", "socket"])]
    pub tls: bool,

    /// Over TLS, the name of the server that it is told (SNI)
    #[arg(long, value_name = "HOST")]
    pub sni: Option<String>,

    /// File of the certificates of the authorities to trust; without it and --cacertdir, those of the system
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// Directory of files of the certificates of the authorities to trust
    #[arg(long, value_name = "DIR")]
    pub cacertdir: Option<PathBuf>,

    /// Over TLS, trust every server
    #[arg(long)]
    pub insecure: bool,

    /// Certificate to show to the server
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,

    /// Private key of the certificate
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// Ciphers of TLS 1.2, the best first, separated by colons
    #[arg(long, value_name = "LIST")]
    pub tls_ciphers: Option<String>,

    /// Ciphers of TLS 1.3, the best first, separated by colons
    #[arg(long, value_name = "LIST")]
    pub tls_ciphersuites: Option<String>,

    /// Made of the files.
    #[arg(skip)]
    pub context: Option<Arc<ClientContext>>,
}

impl TlsOptions {
    /// Reads the files, if TLS is wanted.
    ///
    /// # Errors
    /// If one is missing or can't be used.
    pub fn load(&mut self) -> Result<(), String> {
        if !self.tls {
            return Ok(());
        }
        let key_pair = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => Some(KeyPair {
                certificate: certificate.clone(),
                key: key.clone(),
                passphrase: String::new(),
            }),
            (None, None) => None,
            _ => return Err("--cert and --key need each other.".into()),
        };
        let trust = if self.insecure {
            Trust::Anyone
        } else {
            Trust::Authorities {
                file: self.cacert.clone().unwrap_or_default(),
                directory: self.cacertdir.clone().unwrap_or_default(),
            }
        };
        let ciphers = Ciphers {
            tls12: self.tls_ciphers.clone().unwrap_or_default(),
            tls13: self.tls_ciphersuites.clone().unwrap_or_default(),
        };
        let server_name = self.sni.clone();
        let files = ClientFiles { key_pair, trust, server_name, protocols: String::new(), ciphers };
        let context = files.load()?;
        context.notes.iter().for_each(|note| eprintln!("Warning: {note}"));
        self.context = Some(Arc::new(context));
        Ok(())
    }
}
