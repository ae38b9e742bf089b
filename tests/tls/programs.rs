//! Programs that others have written, and the tools of this project.

use crate::common::tool::{self, CLI, Dialogue};
use crate::peer::Stage;

/// Runs a tool against the stage's server, with a certificate. Its output, and whether it has succeeded.
fn run(stage: &Stage, program: &str, line: &str, input: &[u8]) -> (String, bool) {
    let ca = stage.authority.certificate().display().to_string();
    let port = stage.server.port();
    let words =
        format!("--tls -p {port} --cacert {ca} {} {line}", stage.client.tool_options().join(" "));
    let output = tool::run(program, &words, &[], input);
    (tool::text(&output.stdout) + &tool::text(&output.stderr), output.status.success())
}

#[test]
fn command_line_clients_connect() {
    let stage = Stage::new(&[]);
    for program in [CLI, "redis-cli"] {
        assert_eq!(run(&stage, program, "set key value", b""), ("OK\n".into(), true), "{program}");
        assert_eq!(run(&stage, program, "--sni localhost get key", b"").0, "value\n");
        let long = "x".repeat(1 << 20);
        assert_eq!(run(&stage, program, "-x set long", long.as_bytes()).0, "OK\n");
        assert_eq!(run(&stage, program, "get long", b"").0, format!("{long}\n"));
        let suite = "--tls-ciphersuites TLS_CHACHA20_POLY1305_SHA256 ping";
        assert_eq!(run(&stage, program, suite, b"").0, "PONG\n");
    }
    let uri = format!(
        "-u rediss://127.0.0.1:{} --insecure {} ping",
        stage.server.port(),
        stage.client.tool_options().join(" ")
    );
    assert_eq!(tool::text(&tool::run(CLI, &uri, &[], b"").stdout), "PONG\n");
}

#[test]
fn the_clients_of_this_project_say_why_they_cannot_connect() {
    let stage = Stage::new(&[]);
    let port = stage.server.port();
    let options = stage.client.tool_options().join(" ");
    for (line, reason) in [
        (format!("--tls -p {port} {options} ping"), "UnknownIssuer"),
        (format!("--tls -p {port} --insecure ping"), "CertificateRequired"),
        ("--tls --cacert /nope ping".into(), "/nope: No such file or directory"),
        ("--tls --cert /nope ping".into(), "--cert and --key need each other."),
        ("--tls --insecure --tls-ciphers RC4 ping".into(), "Failed to configure ciphers: RC4"),
        ("--tls --rdma ping".into(), "cannot be used with"),
    ] {
        let output = tool::run(CLI, &line, &[], b"");
        let told = tool::text(&output.stderr);
        assert!(!output.status.success() && told.contains(reason), "{line}: {told}");
    }
}

#[test]
fn load_generators_measure() {
    let stage = Stage::new(&["--io-threads", "2"]);
    let own = env!("CARGO_BIN_EXE_verbena-benchmark");
    for program in [own, "redis-benchmark"] {
        for pipeline in [1, 16] {
            let line = format!("-t set,get -n 4000 -c 20 -P {pipeline} -q");
            let (output, good) = run(&stage, program, &line, b"");
            assert!(
                good && output.contains("GET: ") && output.contains("requests per second"),
                "{output}"
            );
        }
    }
    let (output, good) = run(&stage, own, "-t get -n 500 -c 5 -k 0 --json", b"");
    assert!(good && output.contains("\"transport\":\"tls\""), "{output}");
}

#[test]
fn openssl_agrees() {
    let stage = Stage::new(&["--tls-auth-clients", "optional"]);
    let ca = stage.authority.certificate().display().to_string();
    let talk = |options: &str| {
        let line = format!(
            "s_client -connect 127.0.0.1:{} -CAfile {ca} -verify_return_error -ign_eof {options}",
            stage.server.port()
        );
        let output = tool::run("openssl", &line, &[], b"PING\r\nQUIT\r\n");
        (tool::text(&output.stdout), output.status.success())
    };
    for options in [
        "-tls1_3",
        "-tls1_2",
        "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256",
        "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
        "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305",
        "-curves P-256",
        "-curves X25519",
        // Records of the least length that OpenSSL makes, and replies in pieces.
        "-max_send_frag 512",
        "-split_send_frag 512",
    ] {
        let (output, good) = talk(options);
        assert!(good && output.contains("+PONG\r\n+OK\r\n"), "{options}: {output}");
        assert!(output.contains("Verify return code: 0 (ok)"), "{options}: {output}");
    }
    let (output, _) = talk("-tls1_2 -reconnect");
    assert_eq!(output.matches("Reused, TLSv1.2").count(), 5, "{output}");
    for options in ["-tls1_1", "-tls1_2 -cipher AES128-SHA256"] {
        let (output, good) = talk(options);
        assert!(!good && !output.contains("+PONG"), "{options}: {output}");
    }
}

/// A client of TLS 1.3 may change its keys at any time, and ask the server to.
#[test]
fn keys_may_change_at_any_time() {
    let stage = Stage::new(&["--tls-auth-clients", "no"]);
    let line = format!("s_client -connect 127.0.0.1:{} -tls1_3", stage.server.port());
    let mut openssl = Dialogue::of("openssl", &line);
    for _ in 0..3 {
        openssl.writes("PING");
        openssl.sees("+PONG\n");
        // A line of this letter asks both sides for new keys.
        openssl.writes("K");
        openssl.sees("KEYUPDATE\n");
    }
    openssl.writes("PING");
    openssl.sees("+PONG\n");
}
