//! The oracle says what is to become of sound and of damaged payloads.

use crate::common::{Server, payloads};
use crate::content::{content, encoding};

#[test]
fn payloads_become_what_valkey_makes_of_them() {
    let options = ["--enable-debug-command", "yes"];
    let (server, oracle) = (Server::start(&options), Server::oracle(&options));
    let (mut ours, mut theirs) = (server.connect(), oracle.connect());
    // Some payloads have fields that have expired: they stay until somebody asks for them.
    for client in [&mut ours, &mut theirs] {
        assert!(client.run("DEBUG SET-ACTIVE-EXPIRE 0").is("OK"));
    }
    for payload in payloads::all() {
        let (name, sealed) = (payload.name, payload.sealed());
        let words: [&[u8]; 5] = [b"RESTORE", b"key", b"0", &sealed, b"REPLACE"];
        let (our_reply, their_reply) = (ours.command(&words), theirs.command(&words));
        if payload.is_refused() {
            assert!(their_reply.is("OK"), "{name}: Valkey refuses it too: {their_reply}");
            assert_eq!(our_reply.error(), "ERR Bad data format", "{name}");
            continue;
        }
        assert_eq!(our_reply, their_reply, "{name}");
        if their_reply.is("OK") && !payload.is_out_of_order() {
            assert_eq!(content(&mut ours, b"key"), content(&mut theirs, b"key"), "{name}");
            assert_eq!(encoding(&mut ours, b"key"), encoding(&mut theirs, b"key"), "{name}");
        }
    }
}
