//! A client of rustls over a socket of the system, which waits.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use crate::authority::{Authority, Identity};
use crate::common::{Client, Server, Stream};

/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on TLS with an authority, its own identity, and one of a client.
pub struct Stage {
    pub authority: Authority,
    pub server: Server,
    pub identity: Identity,
    pub client: Identity,
}

impl Stage {
    /// Starts a server with these options. It also listens on a Unix socket.
    pub fn new(options: &[&str]) -> Stage {
        let authority = Authority::new("Authority");
        let (identity, client) = (authority.issue("server"), authority.issue("client"));
        let certificates = identity.server_options();
        let ca = authority.certificate().display().to_string();
        let mut all = vec!["--tls-ca-cert-file", &ca, "--unixsocket", "socket"];
        all.extend(certificates.iter().map(String::as_str));
        all.extend(options);
        let server = Server::start_with_tls(&all);
        Stage { authority, server, identity, client }
    }

    /// A client on the Unix socket.
    pub fn plain(&self) -> Client {
        Client::unix(&self.server.dir().join("socket"))
    }

    /// A client with a certificate.
    pub fn connect(&self) -> Client {
        Client::new(Box::new(self.peer()))
    }

    pub fn peer(&self) -> Peer {
        Peer::connect(self.server.port(), self.config(Some(&self.client))).unwrap()
    }

    /// The configuration of a client that trusts the authority, and has this certificate.
    pub fn config(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        Arc::new(config(&self.authority, identity, rustls::ALL_VERSIONS))
    }

    /// The error of a handshake, or of the first words after it: a client of TLS 1.3 learns only then that it was not let in.
    pub fn refusal(&self, config: Arc<ClientConfig>) -> String {
        let ping = |mut peer: Peer| {
            peer.write_all(b"PING\r\n")?;
            let mut reply = [0; 7];
            peer.read_exact(&mut reply)?;
            Ok(reply)
        };
        match Peer::connect(self.server.port(), config).and_then(ping) {
            Ok(reply) => panic!("the server let it in: {}", String::from_utf8_lossy(&reply)),
            Err(error) => error.to_string(),
        }
    }
}

pub fn config(
    authority: &Authority,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority.certificate()).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_webpki_verifier(verifier.build().unwrap());
    match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain = CertificateDer::pem_file_iter(certificate).unwrap();
            let key = PrivateKeyDer::from_pem_file(key).unwrap();
            builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
    }
}

/// One connection.
pub struct Peer(pub StreamOwned<ClientConnection, TcpStream>);

impl Peer {
    /// Connects, and completes the handshake.
    pub fn connect(port: u16, config: Arc<ClientConfig>) -> io::Result<Peer> {
        let mut peer = Peer::begin(port, config)?;
        while peer.0.conn.is_handshaking() {
            peer.0.conn.complete_io(&mut peer.0.sock)?;
        }
        Ok(peer)
    }

    /// Connects, and says nothing yet.
    pub fn begin(port: u16, config: Arc<ClientConfig>) -> io::Result<Peer> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // The name of every server certificate here.
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Peer(StreamOwned::new(connection, socket)))
    }

    pub fn kind(&self) -> HandshakeKind {
        self.0.conn.handshake_kind().expect("the handshake is over")
    }

    pub fn version(&self) -> ProtocolVersion {
        self.0.conn.protocol_version().expect("the handshake is over")
    }

    /// Runs a command that is answered by one line.
    pub fn ask(&mut self, line: &str) -> String {
        self.write_all(line.as_bytes()).unwrap();
        self.write_all(b"\r\n").unwrap();
        self.read_line().unwrap()
    }

    pub fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        line.truncate(line.len() - 2);
        Ok(String::from_utf8(line).unwrap())
    }
}

impl Read for Peer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Peer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Peer {
    fn end_writing(&self) {
        self.0.sock.shutdown(Shutdown::Write).unwrap();
    }

    fn set_patience(&self, patience: Duration) {
        self.0.sock.set_read_timeout(Some(patience)).unwrap();
    }

    fn again(&self) -> Box<dyn Stream> {
        panic!("a TLS connection is read and written by one thread")
    }
}
