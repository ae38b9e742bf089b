//! The records of TLS: a server's connection, and a peer that is wrong before, during or after the handshake.

use std::future::poll_fn;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use bytes::Bytes;
use ring::aead;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::cipher::Nonce;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, DigitallySignedStruct, Error,
    ExtractedSecrets, SignatureScheme,
};
use verbena_transport::event_loop::{block_on, yield_now};
use verbena_transport::security::{Ciphers, ClientAuth, KeyPair, ServerContext, ServerFiles};
use verbena_transport::{Address, Connection, Endpoint, ServerOptions, tls};

/// Whatever comes, the server's connection ends or goes on, and hands over only what was sealed for it, in its order.
pub fn check(data: &[u8]) {
    let Some((&mode, script)) = data.split_first() else { return };
    block_on(async {
        let (mut server, socket) = connection().await;
        let mut peer = Peer { socket, sent: Vec::new(), is_wrong: false };
        match mode % 4 {
            0 => raw(&mut *server, &mut peer, script).await,
            1 => _ = handshake(&mut *server, &mut peer, mode & 4 != 0, script).await,
            _ => records(&mut *server, &mut peer, script).await,
        }
        let (received, _) = server.buffers();
        let common = received.len().min(peer.sent.len());
        assert!(received[..common] == peer.sent[..common], "other bytes arrived than were sent");
        assert!(received.len() == common || peer.is_wrong, "more bytes arrived than were sent");
    })
    .expect("an event loop");
}

struct Peer {
    socket: TcpStream,
    /// The application data that was sealed before anything wrong was sent.
    sent: Vec<u8>,
    is_wrong: bool,
}

impl Peer {
    fn send(&mut self, bytes: &[u8]) {
        // The server may have ended the connection.
        let _ = self.socket.write_all(bytes);
    }
}

/// Any bytes in pieces, and the server's own words between them.
async fn raw(server: &mut dyn Connection, peer: &mut Peer, script: &[u8]) {
    for (number, piece) in script.chunks(1 + script.len() / 3).enumerate() {
        peer.send(piece);
        serve(server, number % 2 == 1).await;
    }
}

/// A handshake some bytes of which are changed, lost or repeated, as the script says. The client, if it was completed all the
/// same.
async fn handshake(
    server: &mut dyn Connection,
    peer: &mut Peer,
    old: bool,
    script: &[u8],
) -> Option<ClientConnection> {
    let version = if old { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(config(version), name).expect("a client");
    let mut script = script.iter();
    for _ in 0..6 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).expect("to memory");
        }
        if let (Some(kind), Some(place), Some(value)) =
            (script.next(), script.next(), script.next())
        {
            let at = usize::from(*place) * flight.len() / 256;
            match kind % 4 {
                0 if !flight.is_empty() => flight[at] ^= value,
                1 => flight.truncate(at),
                2 => flight.insert(at, *value),
                3 => drop(flight.splice(at..at, vec![*value; 300])),
                _ => {}
            }
        }
        for piece in flight.chunks(1 + flight.len() / 2) {
            peer.send(piece);
            serve(server, false).await;
        }
        while let Ok(1..) = client.read_tls(&mut peer.socket) {
            if client.process_new_packets().is_err() {
                return None;
            }
        }
        if !client.is_handshaking() && !client.wants_write() {
            break;
        }
    }
    serve(server, false).await;
    (!client.is_handshaking()).then_some(client)
}

/// A handshake, and then records of any type with any content.
async fn records(server: &mut dyn Connection, peer: &mut Peer, mut script: &[u8]) {
    let Some(client) = handshake(server, peer, false, &[]).await else {
        panic!("the handshake failed");
    };
    let mut sealer = Sealer::new(client.dangerous_extract_secrets().expect("secrets"));
    while let Some((&kind, rest)) = script.split_first() {
        let (&len, rest) = rest.split_first().unwrap_or((&0, rest));
        let (content, rest) = rest.split_at(rest.len().min(usize::from(len)));
        script = rest;
        let sealed = match kind % 8 {
            // Of application data, unless something was wrong before.
            0..=2 => {
                if !peer.is_wrong {
                    peer.sent.extend_from_slice(content);
                }
                sealer.seal(23, content)
            }
            3 => {
                peer.is_wrong = true;
                sealer.seal(22, content)
            }
            4 => {
                peer.is_wrong = true;
                sealer.seal(kind / 8, content)
            }
            5 => {
                peer.is_wrong = true;
                content.to_vec()
            }
            6 => {
                serve(server, true).await;
                continue;
            }
            _ => {
                peer.is_wrong = true;
                let mut record = sealer.seal(23, content);
                let at = usize::from(kind / 8) % record.len();
                record[at] ^= 1;
                record
            }
        };
        let cut = sealed.len() / (1 + usize::from(kind / 64));
        peer.send(&sealed[..cut]);
        if kind & 32 != 0 {
            serve(server, kind & 16 != 0).await;
        }
        peer.send(&sealed[cut..]);
        if kind & 32 == 0 {
            serve(server, kind & 16 != 0).await;
        }
    }
    serve(server, true).await;
    if !peer.is_wrong {
        let (received, _) = server.buffers();
        assert_eq!(received.len(), peer.sent.len(), "bytes were lost");
    }
}

/// Lets the server do all it can, and say something if `speaks`.
async fn serve(server: &mut dyn Connection, speaks: bool) {
    if speaks {
        server.queue(Bytes::from_static(b"+a line of the server\r\n"));
    }
    for _ in 0..2 {
        yield_now().await;
        poll_fn(|cx| {
            if server.unsent() > 0 {
                let _ = server.poll_flush(cx);
            }
            while let Poll::Ready(Ok(1..)) = server.poll_receive(cx) {}
            Poll::Ready(())
        })
        .await;
    }
}

/// What seals records as a client of TLS 1.3 does, but of any type.
struct Sealer {
    key: aead::LessSafeKey,
    secrets: ConnectionTrafficSecrets,
    sequence: u64,
}

impl Sealer {
    fn new(secrets: ExtractedSecrets) -> Sealer {
        let (sequence, secrets) = secrets.tx;
        let ConnectionTrafficSecrets::Aes256Gcm { key, .. } = &secrets else {
            panic!("another cipher than is wanted");
        };
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).expect("a key");
        Sealer { key: aead::LessSafeKey::new(key), secrets, sequence }
    }

    fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let ConnectionTrafficSecrets::Aes256Gcm { iv, .. } = &self.secrets else { unreachable!() };
        let nonce = aead::Nonce::assume_unique_for_key(Nonce::new(iv, self.sequence).0);
        self.sequence += 1;
        let mut inner = content.to_vec();
        inner.push(kind);
        let len = (inner.len() + 16) as u16;
        let header = [23, 3, 3, (len >> 8) as u8, len as u8];
        self.key
            .seal_in_place_append_tag(nonce, aead::Aad::from(header), &mut inner)
            .expect("it is short");
        [&header[..], &inner].concat()
    }
}

/// A new connection: the server's side, and the peer's socket, which does not block.
async fn connection() -> (Box<dyn Connection>, TcpStream) {
    let options = ServerOptions { tls: Some(context()), ..ServerOptions::default() };
    let address = Address::Host { name: "127.0.0.1".into(), port: 0 };
    let mut listener =
        tls::BACKEND.server(&options).listen(&address, &options).expect("a listener");
    let Endpoint::Ip(local) = listener.local() else { unreachable!() };
    let socket = TcpStream::connect(local).expect("it listens");
    socket.set_nonblocking(true).expect("a socket");
    socket.set_nodelay(true).expect("a socket");
    let incoming = poll_fn(|cx| listener.poll_accept(cx)).await.expect("a connection");
    (incoming.attach().expect("it attaches"), socket)
}

fn context() -> Arc<ServerContext> {
    static CONTEXT: OnceLock<Arc<ServerContext>> = OnceLock::new();
    CONTEXT.get_or_init(|| Arc::new(files().load().expect("a configuration"))).clone()
}

fn files() -> ServerFiles {
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let dir: PathBuf = std::env::temp_dir().join(format!("verbena-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let (certificate, key) = (dir.join("crt"), dir.join("key"));
    std::fs::write(&certificate, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    ServerFiles {
        key_pair: KeyPair { certificate, key, passphrase: String::new() },
        authorities_file: PathBuf::new(),
        authorities_directory: PathBuf::new(),
        client_auth: ClientAuth::None,
        protocols: String::new(),
        ciphers: Ciphers::default(),
        prefer_own_order: false,
        sessions: Some((100, 0)),
    }
}

fn config(version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    Arc::new(config)
}

#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
