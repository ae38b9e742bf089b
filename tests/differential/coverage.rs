//! What is compared: every command that the oracle has is compared at random, or somewhere else, or
//! is on the one list of what does not exist yet (`missing.rs`).

use std::collections::BTreeSet;

use crate::commands::{Entry, FAMILIES, NOT_RANDOM};
use crate::missing::MISSING;
use crate::wire::Wire;

/// The entries of `commands.rs` that the subject knows.
pub fn callable(subject: &mut Wire) -> impl Iterator<Item = &'static Entry> {
    let missing =
        MISSING.iter().flat_map(|(_, names)| names.split_whitespace()).collect::<BTreeSet<_>>();
    FAMILIES.iter().copied().flatten().filter(move |entry| {
        !missing.contains(piped(entry.name).as_str()) && exists(subject, entry.name)
    })
}

/// The server knows the command: whatever it says about its arguments.
fn exists(wire: &mut Wire, name: &str) -> bool {
    let words = name.split(' ').map(str::as_bytes).collect::<Vec<_>>();
    let outcome =
        wire.command(&[&[&b"COMMAND"[..], b"INFO"][..], &[piped(name).as_bytes()]].concat());
    match outcome.reply() {
        Some(reply) if !reply.is_error() => {
            reply.elements.first().is_some_and(|info| !info.is_nil())
        }
        _ => {
            let outcome = wire.command(&words);
            outcome.reply().is_some_and(|reply| !reply.text.starts_with(b"ERR unknown"))
        }
    }
}

/// As COMMAND LIST writes it: `client|setname`.
fn piped(name: &str) -> String {
    name.replace(' ', "|")
}

#[test]
fn every_command_of_valkey_is_compared_or_known_to_be_missing() {
    let pair = crate::servers();
    let (mut oracle, mut subject) = pair.connect();
    let list = oracle.command(&[b"COMMAND", b"LIST"]);
    let mut complaints = Vec::new();
    let missing =
        MISSING.iter().flat_map(|(_, names)| names.split_whitespace()).collect::<BTreeSet<_>>();
    let random = FAMILIES.iter().copied().flatten().map(|entry| piped(entry.name));
    let compared =
        random.chain(NOT_RANDOM.iter().map(|(name, _)| piped(name))).collect::<BTreeSet<_>>();
    let names = list.reply().expect("COMMAND LIST").elements.iter();
    let names = names.map(|name| String::from_utf8_lossy(&name.text).into_owned());
    let names = names.collect::<BTreeSet<_>>();
    for name in &names {
        let is_missing = missing.contains(name.as_str());
        match exists(&mut subject, &name.replace('|', " ")) {
            true if is_missing => complaints.push(format!("{name} exists: take it off MISSING")),
            true if !compared.contains(name) && !is_container(&names, name) => {
                complaints
                    .push(format!("{name} is not compared: it needs an entry in commands.rs"));
            }
            false if !is_missing => complaints.push(format!("{name} does not exist")),
            _ => {}
        }
    }
    for name in missing.iter().copied().chain(compared.iter().map(String::as_str)) {
        if !names.contains(name) {
            complaints.push(format!("{name} is no command of Valkey's"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn is_container(names: &BTreeSet<String>, name: &str) -> bool {
    names.iter().any(|other| other.split_once('|').is_some_and(|(container, _)| container == name))
}
