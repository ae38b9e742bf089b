//! What a change of the configuration changes, and what it leaves.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustls::pki_types::CertificateDer;

use crate::authority::{Authority, Identity};
use crate::common::{Client, Server};
use crate::peer::Stage;

const REFUSED: &str = "Unable to update TLS configuration. Check server logs.";

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn set_identity(admin: &mut Client, Identity { certificate, key }: &Identity) -> String {
    let (certificate, key) = (shown(certificate), shown(key));
    let reply =
        admin.command(&["CONFIG", "SET", "tls-cert-file", &certificate, "tls-key-file", &key]);
    reply.to_string()
}

/// The server's certificate, as a new client sees it.
fn certificate(stage: &Stage) -> CertificateDer<'static> {
    let peer = stage.peer();
    peer.0.conn.peer_certificates().unwrap()[0].clone()
}

fn field(client: &mut Client, name: &str) -> String {
    let info = client.run("INFO tls").text();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name}: {info}")).to_owned()
}

#[test]
fn a_new_certificate_is_shown_to_new_clients() {
    let stage = Stage::new(&[]);
    let mut admin = stage.plain();
    let (mut before, first) = (stage.connect(), certificate(&stage));
    let serial = field(&mut admin, "tls_server_cert_serial");
    assert!(
        serial.len() >= 2 && serial.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
    );
    assert!(field(&mut admin, "tls_ca_cert_expires_in_seconds").parse::<i64>().unwrap() > 0);
    assert_eq!(field(&mut admin, "tls_client_cert_serial"), "none");
    let next = stage.authority.issue("next");
    assert_eq!(set_identity(&mut admin, &next), "OK");
    assert_ne!(certificate(&stage), first);
    assert_ne!(field(&mut admin, "tls_server_cert_serial"), serial);
    // Files with the same names are read again.
    assert_eq!(set_identity(&mut admin, &stage.identity), "OK");
    assert_eq!(certificate(&stage), first);
    fs::copy(&next.certificate, &stage.identity.certificate).unwrap();
    fs::copy(&next.key, &stage.identity.key).unwrap();
    assert_eq!(certificate(&stage), first);
    assert_eq!(set_identity(&mut admin, &stage.identity), "OK");
    assert_ne!(certificate(&stage), first);
    assert!(before.run("PING").is("PONG"));
}

#[test]
fn a_configuration_that_cannot_be_used_changes_nothing() {
    let stage = Stage::new(&[]);
    let mut admin = stage.plain();
    let first = certificate(&stage);
    let garbage = stage.authority.dir().join("garbage");
    fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let other = stage.authority.issue("other");
    let ca = shown(&stage.authority.certificate());
    for (name, value, logged) in [
        ("tls-cert-file", "/nope", "Failed to load certificate: /nope: No such file or directory"),
        ("tls-cert-file", "", "No tls-cert-file configured!"),
        ("tls-key-file", "", "No tls-key-file configured!"),
        ("tls-key-file", &shown(&other.key), "it is not the key of the certificate"),
        ("tls-key-file", &ca, "there is no private key in it"),
        (
            "tls-ca-cert-file",
            "/nope",
            "Failed to configure CA certificate(s) file/directory: /nope: No such file",
        ),
        ("tls-ca-cert-file", &shown(&garbage), "none of its certificates can be read"),
        ("tls-ca-cert-file", "", "Either tls-ca-cert-file or tls-ca-cert-dir must be specified"),
        ("tls-ca-cert-dir", "/nope", "Failed to configure CA certificate(s) file/directory: /nope"),
        ("tls-protocols", "SSLv3", "Invalid tls-protocols specified. Use a combination of"),
        ("tls-protocols", "TLSv1.1", "TLSv1.1 is not secure"),
        (
            "tls-ciphers",
            "AES128-SHA256:AES256-SHA256",
            "Failed to configure ciphers: AES128-SHA256",
        ),
        ("tls-ciphersuites", "nope", "Failed to configure ciphersuites: nope"),
        ("tls-dh-params-file", "/nope", "Failed to load /nope: No such file or directory"),
    ] {
        let before = admin.command(&["CONFIG", "GET", name]);
        let reply = admin.command(&["CONFIG", "SET", name, value]);
        let expected =
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {REFUSED}");
        assert_eq!(reply.error(), expected);
        stage.server.wait_for_log(logged);
        assert_eq!(admin.command(&["CONFIG", "GET", name]), before);
        assert_eq!(certificate(&stage), first, "{name} {value}");
    }
    // A port that is taken, with a certificate that could have been used.
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let Identity { certificate: file, key } = &other;
    let reply = admin.command(&[
        "CONFIG",
        "SET",
        "tls-port",
        &port,
        "tls-cert-file",
        &shown(file),
        "tls-key-file",
        &shown(key),
    ]);
    assert_eq!(
        reply.error(),
        "ERR CONFIG SET failed (possibly related to argument 'tls-port') - Unable to listen on this port. Check server logs."
    );
    assert_eq!(certificate(&stage), first);
}

#[test]
fn names_that_have_no_cipher_here_are_told() {
    let stage = Stage::new(&[]);
    let mut admin = stage.plain();
    let list = "ECDHE-ECDSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256";
    assert!(admin.command(&["CONFIG", "SET", "tls-ciphers", list]).is("OK"));
    stage.server.wait_for_log("These ciphers are left out: DHE-RSA-AES128-GCM-SHA256 (");
    let params = shown(&stage.authority.certificate());
    assert!(admin.command(&["CONFIG", "SET", "tls-dh-params-file", &params]).is("OK"));
    stage.server.wait_for_log("tls-dh-params-file is not used");
    assert!(stage.connect().run("PING").is("PONG"));
}

#[test]
fn changed_files_are_read_again_by_themselves() {
    let stage = Stage::new(&["--tls-auto-reload-interval", "1"]);
    let (mut before, first) = (stage.connect(), certificate(&stage));
    fs::write(&stage.identity.certificate, "nothing").unwrap();
    stage.server.wait_for_log(
        "TLS goes on as it was, since changed files can't be used: Failed to load certificate",
    );
    assert_eq!(certificate(&stage), first);
    let next = stage.authority.issue("next");
    // The key first: together they are right only in the end.
    fs::copy(&next.key, &stage.identity.key).unwrap();
    fs::copy(&next.certificate, &stage.identity.certificate).unwrap();
    stage.server.wait_for_log("TLS certificates and keys were loaded again");
    // The log is written before the listeners have it.
    while certificate(&stage) == first {
        std::thread::yield_now();
    }
    assert!(before.run("PING").is("PONG"));
}

#[test]
fn encrypted_keys_need_their_passphrase() {
    let stage = Stage::new(&[]);
    let mut admin = stage.plain();
    let convert = |name: &str, options: &[&str]| {
        let target = shown(&stage.authority.dir().join(name));
        let source = shown(&stage.identity.key);
        let output = Command::new("openssl")
            .args(options)
            .args(["-in", &source, "-out", &target, "-passout", "pass:1234"])
            .output()
            .expect("openssl");
        assert!(output.status.success(), "{output:?}");
        target
    };
    let keys = [
        convert("pbkdf2.key", &["pkcs8", "-topk8", "-v2", "aes-256-cbc"]),
        convert("scrypt.key", &["pkcs8", "-topk8", "-scrypt"]),
        convert("usual.key", &["ec", "-aes128"]),
    ];
    let legacy = &keys[2];
    for key in &keys[..2] {
        for (pass, logged) in [
            ("", "it is encrypted, and there is no passphrase"),
            ("wrong", "its passphrase is wrong"),
        ] {
            let reply =
                admin.command(&["CONFIG", "SET", "tls-key-file-pass", pass, "tls-key-file", key]);
            assert!(reply.error().ends_with(REFUSED), "{reply}");
            stage.server.wait_for_log(logged);
        }
        assert!(
            admin
                .command(&["CONFIG", "SET", "tls-key-file-pass", "1234", "tls-key-file", key])
                .is("OK")
        );
        assert!(stage.connect().run("PING").is("PONG"));
    }
    let reply =
        admin.command(&["CONFIG", "SET", "tls-key-file-pass", "1234", "tls-key-file", legacy]);
    assert!(reply.error().ends_with(REFUSED), "{reply}");
    stage.server.wait_for_log("it is encrypted in OpenSSL's old format");
}

#[test]
fn a_port_changes_between_plain_and_tls() {
    let stage = Stage::new(&["--bind", "127.0.0.1"]);
    let port = stage.server.port();
    let mut over_tls = stage.connect();
    let info = over_tls.run("INFO server").text();
    assert!(info.contains(&format!("tcp_port:{port}\r\n")), "{info}");
    assert!(info.contains(&format!("name=tls,bind=127.0.0.1,port={port}\r\n")), "{info}");
    assert!(over_tls.run("CONFIG SET tls-port 0").is("OK"));
    assert!(over_tls.run(&format!("CONFIG SET port {port}")).is("OK"));
    let mut plain = Client::tcp(port);
    assert!(plain.run("PING").is("PONG"));
    // With no use for TLS, nothing is read.
    assert!(plain.run("CONFIG SET tls-cert-file /nope").is("OK"));
    assert_eq!(field(&mut plain, "tls_server_cert_serial"), "none");
    let refused = plain.run(&format!("CONFIG SET port 0 tls-port {port}"));
    assert!(
        refused.error().contains("argument 'tls-port') - Unable to update TLS configuration."),
        "{refused}"
    );
    let reply = plain.command(&[
        "CONFIG",
        "SET",
        "port",
        "0",
        "tls-port",
        &port.to_string(),
        "tls-cert-file",
        &shown(&stage.identity.certificate),
    ]);
    assert!(reply.is("OK"), "{reply}");
    assert!(stage.connect().run("PING").is("PONG"));
    // Connections outlive their listeners.
    assert!(over_tls.run("PING").is("PONG") && plain.run("PING").is("PONG"));
}

#[test]
fn a_server_that_cannot_listen_for_tls_does_not_start() {
    let authority = Authority::new("Authority");
    let identity = authority.issue("server");
    let (certificate, key) = (shown(&identity.certificate), shown(&identity.key));
    let ca = shown(&authority.certificate());
    for (options, logged) in [
        (vec![], "No tls-cert-file configured!"),
        (vec!["--tls-cert-file", &certificate], "No tls-key-file configured!"),
        (
            vec!["--tls-cert-file", &certificate, "--tls-key-file", &key],
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or \
             tls-auth-clients are enabled!",
        ),
        (
            vec![
                "--tls-cert-file",
                &certificate,
                "--tls-key-file",
                &key,
                "--tls-ca-cert-file",
                &ca,
                "--tls-ciphers",
                "RC4",
            ],
            "Failed to configure ciphers: RC4",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_verbena-server"))
            .args(["--port", "0", "--tls-port", "1", "--bind", "127.0.0.1"])
            .args(&options)
            .output()
            .unwrap();
        let log = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success() && log.contains(logged), "{options:?}: {log}");
        assert!(log.contains("# Failed to configure TLS. Check logs for more info."), "{log}");
    }
    // The server makes connections too, with a certificate that it shows to other servers.
    let other = authority.issue("other");
    let (certificate_2, key_2) = (shown(&other.certificate), shown(&other.key));
    let server = Server::start_with_tls(&[
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-dir",
        &shown(authority.dir()),
        "--tls-client-cert-file",
        &certificate_2,
        "--tls-client-key-file",
        &key_2,
        "--tls-replication",
        "yes",
        "--unixsocket",
        "socket",
    ]);
    let mut client = Client::unix(&server.dir().join("socket"));
    assert_ne!(
        field(&mut client, "tls_client_cert_serial"),
        field(&mut client, "tls_server_cert_serial")
    );
    let refused = client.run("CONFIG SET tls-client-key-file /nope");
    assert!(refused.error().ends_with(REFUSED), "{refused}");
}
