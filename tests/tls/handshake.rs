//! Who is let in, and what a handshake costs others.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};

use crate::authority::Authority;
use crate::common::Client;
use crate::peer::{Peer, Stage, config};

#[test]
fn clients_show_certificates_as_the_configuration_asks() {
    let stage = Stage::new(&[]);
    let (shown, hidden) = (stage.config(Some(&stage.client)), stage.config(None));
    let port = stage.server.port();
    let mut admin = stage.plain();
    assert_eq!(Peer::connect(port, shown.clone()).unwrap().ask("PING"), "+PONG");
    assert!(stage.refusal(hidden.clone()).contains("CertificateRequired"));
    for (asked, without) in [("no", true), ("optional", true), ("yes", false)] {
        assert!(admin.run(&format!("CONFIG SET tls-auth-clients {asked}")).is("OK"));
        assert_eq!(Peer::connect(port, shown.clone()).unwrap().ask("PING"), "+PONG", "{asked}");
        match without {
            true => assert_eq!(Peer::connect(port, hidden.clone()).unwrap().ask("PING"), "+PONG"),
            false => assert!(stage.refusal(hidden.clone()).contains("CertificateRequired")),
        }
    }
    stage.server.wait_for_log(
        "# Error accepting a client connection: peer sent no certificates (addr=127.0.0.1:",
    );
}

#[test]
fn certificates_that_are_not_trusted_end_the_handshake_alone() {
    let stage = Stage::new(&["--tls-auth-clients", "optional"]);
    let mut other = stage.connect();
    let strangers = Authority::new("Stranger");
    let stranger = strangers.issue("client");
    let expired = stage.authority.issue_expired("expired");
    for (identity, alert, reason) in [
        (&stranger, "UnknownCA", "UnknownIssuer"),
        (&expired, "CertificateExpired", "certificate expired"),
    ] {
        let told = stage.refusal(stage.config(Some(identity)));
        assert!(told.contains(alert), "{told}");
        stage.server.wait_for_log(reason);
        assert!(other.run("PING").is("PONG"));
    }
    // The client, in its turn, does not trust the server.
    let config = Arc::new(config(&strangers, None, rustls::ALL_VERSIONS));
    assert!(stage.refusal(config).contains("UnknownIssuer"));
    stage.server.wait_for_log("received fatal alert: UnknownCA");
    assert!(other.run("PING").is("PONG"));
}

#[test]
fn protocols_and_ciphers_are_those_of_the_configuration() {
    let stage = Stage::new(&["--tls-protocols", "TLSv1.2"]);
    let of = |versions| Arc::new(config(&stage.authority, Some(&stage.client), versions));
    let (old, new) = (of(&[&TLS12]), of(&[&TLS13]));
    let port = stage.server.port();
    let connected = Peer::connect(port, old.clone()).unwrap();
    assert_eq!(connected.version(), ProtocolVersion::TLSv1_2);
    assert!(stage.refusal(new.clone()).contains("ProtocolVersion"));
    let mut admin = stage.plain();
    assert!(admin.command(&["CONFIG", "SET", "tls-protocols", ""]).is("OK"));
    assert_eq!(Peer::connect(port, new.clone()).unwrap().version(), ProtocolVersion::TLSv1_3);

    let suite = |config| {
        let peer = Peer::connect(port, config).unwrap();
        peer.0.conn.negotiated_cipher_suite().unwrap().suite()
    };
    assert!(admin.run("CONFIG SET tls-ciphers ECDHE-ECDSA-CHACHA20-POLY1305 tls-ciphersuites TLS_AES_128_GCM_SHA256").is("OK"));
    assert_eq!(suite(old.clone()), CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    assert_eq!(suite(new.clone()), CipherSuite::TLS13_AES_128_GCM_SHA256);
    // The client prefers AES-256 in both cases.
    for (own, tls12, tls13) in [
        (
            "yes",
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        ),
        (
            "no",
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            CipherSuite::TLS13_AES_256_GCM_SHA384,
        ),
    ] {
        let lists = [
            ("tls-prefer-server-ciphers", own),
            ("tls-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256:ALL"),
            ("tls-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"),
        ];
        let words = lists.into_iter().flat_map(|(name, value)| [name, value]);
        let command: Vec<&str> = ["CONFIG", "SET"].into_iter().chain(words).collect();
        assert!(admin.command(&command).is("OK"));
        assert_eq!((suite(old.clone()), suite(new.clone())), (tls12, tls13));
    }
}

#[test]
fn bytes_that_are_not_tls_end_their_connection_alone() {
    let stage = Stage::new(&[]);
    let mut other = stage.connect();
    let words: [&[u8]; 4] = [
        b"PING\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff, 1, 2],
    ];
    for words in words {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, stage.server.port())).unwrap();
        socket.write_all(words).unwrap();
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer);
        assert!(
            read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        );
        // A client that does not speak TLS would take an alert for an answer.
        assert!(
            answer.is_empty() || words[0] == 0x16 && answer.starts_with(&[21, 3]),
            "{answer:?}"
        );
        assert!(other.run("PING").is("PONG"));
    }
    stage
        .server
        .wait_for_log("Error accepting a client connection: the peer does not speak TLS (addr=");
}

#[test]
fn tls_on_the_plain_port_is_no_request() {
    let stage = Stage::new(&[]);
    let mut admin = stage.plain();
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    assert!(admin.run(&format!("CONFIG SET port {port}")).is("OK"));
    let (_, hello) = hello(&stage);
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket.write_all(&hello).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    // It may look like requests, which are answered by errors.
    assert!(answer.is_empty() || answer.starts_with(b"-ERR "), "{answer:?}");
    assert!(Client::tcp(port).run("PING").is("PONG"));
    assert!(stage.connect().run("PING").is("PONG"));
}

/// The first words of a client, which is to be answered.
fn hello(stage: &Stage) -> (TcpStream, Vec<u8>) {
    let mut peer = Peer::begin(stage.server.port(), stage.config(Some(&stage.client))).unwrap();
    let mut hello = Vec::new();
    peer.0.conn.write_tls(&mut hello).unwrap();
    (peer.0.sock.try_clone().unwrap(), hello)
}

#[test]
fn a_handshake_that_is_cut_off_costs_its_own_connection() {
    let stage = Stage::new(&[]);
    let mut other = stage.connect();
    for part in [0, 1, 5, 6, 100] {
        let (mut socket, hello) = hello(&stage);
        socket.write_all(&hello[..part]).unwrap();
        drop(socket);
        assert!(other.run("PING").is("PONG"));
    }
    stage.server.wait_for_log("the peer closed the connection during the TLS handshake");
    // A client that has said everything, and listens to nothing.
    let (mut socket, hello) = hello(&stage);
    socket.write_all(&hello).unwrap();
    drop(socket);
    assert!(other.run("PING").is("PONG"));
}

#[test]
fn slow_handshakes_keep_nobody_waiting_and_end() {
    let stage = Stage::new(&["--io-threads", "1"]);
    let mut other = stage.connect();
    let memory = |other: &mut Client| {
        let info = other.run("INFO memory").text();
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().parse::<usize>().unwrap()
    };
    let before = memory(&mut other);
    let mut waiting = Vec::new();
    for number in 0..200 {
        let (mut socket, hello) = hello(&stage);
        // Some have not said anything, some a part, and some wait for the answer.
        let part = [0, 3, hello.len() / 2, hello.len()][number % 4];
        socket.write_all(&hello[..part]).unwrap();
        waiting.push(socket);
        assert!(other.run("PING").is("PONG"));
    }
    let each = (memory(&mut other) - before) / 200;
    assert!(each < 12_000, "each takes {each} bytes");
    // They are nobody's clients yet.
    assert!(other.run("INFO clients").text().contains("connected_clients:1\r\n"));
    assert_eq!(stage.connect().run("CLIENT LIST").text().lines().count(), 2);
    stage.server.wait_for_log(
        "Error accepting a client connection: the peer takes too long for the TLS handshake (addr=",
    );
    assert!(other.run("PING").is("PONG"));
    let mut rest = Vec::new();
    waiting[0].set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let ended = waiting[0].read_to_end(&mut rest);
    assert!(ended.is_ok() && rest.is_empty(), "{ended:?}");
}

#[test]
fn many_handshakes_at_once_all_succeed() {
    let stage = Stage::new(&["--io-threads", "2"]);
    let config = stage.config(Some(&stage.client));
    let port = stage.server.port();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(Peer::connect(port, config.clone()).unwrap().ask("PING"), "+PONG");
                }
            });
        }
    });
}

#[test]
fn clients_beyond_the_limit_get_no_handshake() {
    let stage = Stage::new(&["--maxclients", "2"]);
    let (_first, _second) = (stage.connect(), stage.connect());
    let (mut socket, hello) = hello(&stage);
    // The server may have closed it before.
    let _ = socket.write_all(&hello);
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{read:?} {answer:?}");
}

#[test]
fn sessions_are_resumed_as_long_as_they_are_kept() {
    for version in [&TLS13, &TLS12] {
        let stage = Stage::new(&[]);
        let config = Arc::new(config(&stage.authority, Some(&stage.client), &[version]));
        let kind = || {
            let mut peer = Peer::connect(stage.server.port(), config.clone()).unwrap();
            // With the reply come the tickets.
            assert_eq!(peer.ask("PING"), "+PONG");
            peer.kind()
        };
        let mut admin = stage.plain();
        assert_eq!(
            [kind(), kind(), kind()],
            [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]
        );
        // Other rules for clients may have come with the new configuration.
        assert!(admin.run("CONFIG SET tls-auth-clients optional").is("OK"));
        assert_eq!([kind(), kind()], [HandshakeKind::Full, HandshakeKind::Resumed]);
        assert!(admin.run("CONFIG SET tls-session-caching no").is("OK"));
        assert_eq!([kind(), kind()], [HandshakeKind::Full, HandshakeKind::Full]);
    }
}

#[test]
fn both_ends_of_a_stream_are_told_by_the_protocol() {
    let stage = Stage::new(&["--loglevel", "verbose"]);
    // The end of a stream that was ended by the protocol is no error.
    let ends = |peer: &mut Peer| peer.read(&mut [0; 100]).unwrap() == 0;
    let mut quits = stage.peer();
    assert_eq!(quits.ask("QUIT"), "+OK");
    assert!(ends(&mut quits));
    let mut killed = stage.peer();
    let id = killed.ask("CLIENT ID");
    assert!(stage.plain().run(&format!("CLIENT KILL ID {}", &id[1..])).integer() == 1);
    assert!(ends(&mut killed));

    // A client that ends its side may still listen.
    let mut says_no_more = stage.peer();
    says_no_more.write_all(b"PING\r\n").unwrap();
    says_no_more.0.conn.send_close_notify();
    says_no_more.flush().unwrap();
    assert_eq!(says_no_more.read_line().unwrap(), "+PONG");
    assert!(ends(&mut says_no_more));

    let mut cut_off = stage.peer();
    assert_eq!(cut_off.ask("PING"), "+PONG");
    cut_off.0.sock.shutdown(Shutdown::Write).unwrap();
    stage.server.wait_for_log("the TLS stream was cut off");
    let mut stays = stage.peer();
    assert_eq!(stays.ask("PING"), "+PONG");
    stage.plain().send(&["SHUTDOWN"]);
    assert!(ends(&mut stays));
}
