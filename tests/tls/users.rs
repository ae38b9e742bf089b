//! Clients that are users by their certificates (`tls-auth-clients-user`).

use crate::common::Client;
use crate::peer::{Peer, Stage};

fn user(stage: &Stage, identity: &crate::authority::Identity) -> String {
    let peer = Peer::connect(stage.server.port(), stage.config(Some(identity))).unwrap();
    Client::new(Box::new(peer)).run("ACL WHOAMI").text()
}

fn denied(admin: &mut Client) -> i64 {
    let info = admin.run("INFO stats").text();
    let line = info.lines().find_map(|line| line.strip_prefix("acl_access_denied_tls_cert:"));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_common_name_is_a_user() {
    let stage = Stage::new(&["--loglevel", "verbose"]);
    let mut admin = stage.plain();
    let known = stage.authority.issue("known");
    assert!(admin.run("ACL SETUSER known on +@all ~*").is("OK"));
    // Only if the configuration says so.
    assert_eq!(user(&stage, &known), "default");
    assert!(admin.run("CONFIG SET tls-auth-clients-user CN").is("OK"));
    assert_eq!(user(&stage, &known), "known");
    stage.server.wait_for_log("- TLS: Auto-authenticated client as *redacted*");
    assert_eq!(denied(&mut admin), 0);
    assert_eq!(user(&stage, &stage.client), "default");
    assert_eq!(denied(&mut admin), 1);
    let entry = admin.run("ACL LOG 1").elements()[0].elements().to_vec();
    let value = |name: &str| {
        let at = entry.iter().position(|word| word.to_string() == format!("{name:?}")).unwrap();
        entry[at + 1].text()
    };
    assert_eq!(
        [value("reason"), value("context"), value("username")],
        ["tls-cert", "toplevel", "client"]
    );
    // A user that may not log in is none.
    assert!(admin.run("ACL SETUSER known off").is("OK"));
    assert_eq!(user(&stage, &known), "default");
    assert_eq!(denied(&mut admin), 2);
    // A client without a certificate names nobody.
    assert!(admin.run("CONFIG SET tls-auth-clients optional").is("OK"));
    let peer = Peer::connect(stage.server.port(), stage.config(None)).unwrap();
    assert_eq!(Client::new(Box::new(peer)).run("ACL WHOAMI").text(), "default");
    assert_eq!(denied(&mut admin), 2);
}

#[test]
fn a_certificate_is_enough_where_passwords_are_asked_for() {
    let stage = Stage::new(&["--tls-auth-clients-user", "CN", "--requirepass", "secret"]);
    let mut admin = stage.plain();
    admin.run("AUTH secret");
    assert!(admin.run("ACL SETUSER client on +get ~*").is("OK"));
    let mut client = stage.connect();
    assert!(client.run("GET key") == crate::common::Value::Null);
    assert!(client.run("SET key value").error().starts_with("NOPERM"));
    // Others must authenticate, and may.
    let other = stage.authority.issue("other");
    let peer = Peer::connect(stage.server.port(), stage.config(Some(&other))).unwrap();
    let mut other = Client::new(Box::new(peer));
    assert!(other.run("GET key").error().starts_with("NOAUTH"));
    assert!(other.run("AUTH secret").is("OK"));
    // A resumed session has the certificate of the first one.
    let config = stage.config(Some(&stage.client));
    for _ in 0..2 {
        let peer = Peer::connect(stage.server.port(), config.clone()).unwrap();
        let mut client = Client::new(Box::new(peer));
        assert!(client.run("SET key value").error().starts_with("NOPERM"));
    }
}

#[test]
fn the_first_uri_that_names_an_enabled_user_counts() {
    let stage = Stage::new(&["--tls-auth-clients-user", "URI"]);
    let mut admin = stage.plain();
    let identity = stage.authority.issue_with_uris("client-2", &["urn:v:first", "urn:v:second"]);
    assert_eq!(user(&stage, &identity), "default");
    for (command, expected) in [
        ("ACL SETUSER urn:v:second on +acl|whoami", "urn:v:second"),
        ("ACL SETUSER urn:v:first off +acl|whoami", "urn:v:second"),
        ("ACL SETUSER urn:v:first on", "urn:v:first"),
    ] {
        assert!(admin.run(command).is("OK"));
        assert_eq!(user(&stage, &identity), expected);
    }
    assert_eq!(denied(&mut admin), 1);
}
