//! The replies of COMMAND equal the oracle's, for the commands that exist here.

mod common;

use std::collections::BTreeMap;

use common::{Client, Server, Value};

fn both() -> (Client, Client, (Server, Server)) {
    let (ours, oracle) = (Server::start(&[]), Server::oracle(&[]));
    (ours.connect(), oracle.connect(), (ours, oracle))
}

/// The names of our commands, subcommands included as `config|get`.
fn names(client: &mut Client) -> Vec<String> {
    listed(client, "")
}

/// What COMMAND LIST answers with that filter.
fn listed(client: &mut Client, filter: &str) -> Vec<String> {
    let names = client.run(&format!("COMMAND LIST {filter}"));
    names.elements().iter().map(Value::text).collect()
}

#[test]
fn command_list_is_the_oracles_for_the_commands_that_there_are() {
    let (mut ours, mut oracle, _servers) = both();
    let all = names(&mut ours);
    let subcommands = all.iter().filter(|name| name.contains('|')).count();
    let containers = ours.run("COMMAND COUNT").integer() as usize;
    assert_eq!(all.len(), containers + subcommands);
    assert!(subcommands > 0 && all.is_sorted_by(|a, b| a != b), "{all:?}");
    let missing: Vec<_> = {
        let theirs = names(&mut oracle);
        all.iter().filter(|name| !theirs.contains(name)).cloned().collect()
    };
    assert!(missing.is_empty(), "Valkey has no {missing:?}");
    let categories = [
        "keyspace",
        "read",
        "write",
        "set",
        "sortedset",
        "list",
        "hash",
        "string",
        "bitmap",
        "hyperloglog",
        "geo",
        "stream",
        "pubsub",
        "admin",
        "fast",
        "slow",
        "blocking",
        "dangerous",
        "connection",
        "transaction",
        "scripting",
    ]
    .map(|category| format!("FILTERBY ACLCAT {category}"));
    let patterns =
        ["*", "config", "config*", "config|*", "CONFIG|g*", "*|help", "x*", "nope", "[cm]*"]
            .map(|pattern| format!("FILTERBY PATTERN {pattern}"));
    for filter in categories.iter().chain(&patterns) {
        let mut found = listed(&mut ours, filter);
        found.sort();
        let mut expected = listed(&mut oracle, filter);
        expected.retain(|name| all.contains(name));
        expected.sort();
        assert_eq!(found, expected, "{filter}");
    }
}

#[test]
fn command_info_is_the_oracles_in_both_protocols() {
    let (mut ours, mut oracle, _servers) = both();
    let names = names(&mut ours);
    for protocol in ["2", "3"] {
        ours.run(&format!("HELLO {protocol}"));
        oracle.run(&format!("HELLO {protocol}"));
        for name in &names {
            let command = ["COMMAND", "INFO", name];
            let (Value::Array(mut ours), Value::Array(mut oracle)) =
                (ours.command(&command), oracle.command(&command))
            else {
                panic!("COMMAND INFO answers with an array")
            };
            let entry = |reply: &mut Vec<Value>| match reply.pop() {
                Some(Value::Array(entry)) => entry,
                other => panic!("{name}: {other:?}"),
            };
            let (mut ours, mut oracle) = (entry(&mut ours), entry(&mut oracle));
            let subcommands = |entry: &mut Vec<Value>| -> BTreeMap<String, Value> {
                let Some(Value::Array(subcommands)) = entry.pop() else { panic!("{name}") };
                subcommands.into_iter().map(|sub| (sub.elements()[0].text(), sub)).collect()
            };
            let (our_subcommands, oracles) = (subcommands(&mut ours), subcommands(&mut oracle));
            assert_eq!(ours, oracle, "{name}");
            for (name, sub) in our_subcommands {
                assert_eq!(Some(&sub), oracles.get(&name), "{name}");
            }
        }
    }
}

#[test]
fn command_docs_is_the_oracles_in_both_protocols() {
    let (mut ours, mut oracle, _servers) = both();
    let names = names(&mut ours);
    for protocol in ["2", "3"] {
        ours.run(&format!("HELLO {protocol}"));
        oracle.run(&format!("HELLO {protocol}"));
        for name in names.iter().filter(|name| {
            // Containers list the subcommands that exist, which are compared one by one.
            !names.iter().any(|other| other.starts_with(&format!("{name}|")))
        }) {
            let command = ["COMMAND", "DOCS", name];
            let show = |reply: Vec<u8>| String::from_utf8(reply).unwrap();
            assert_eq!(show(ours.raw(&command)), show(oracle.raw(&command)), "{name}");
        }
    }
    let Value::Map(all) = ours.run("COMMAND DOCS") else { panic!("no map") };
    assert_eq!(all.len() as i64, ours.run("COMMAND COUNT").integer());
    assert_eq!(all.len(), ours.run("COMMAND").elements().len());
}

#[test]
fn the_other_subcommands_answer_as_the_oracles() {
    let (mut ours, mut oracle, _servers) = both();
    for command in [
        "COMMAND FOO",
        "COMMAND COUNT x",
        "COMMAND LIST x",
        "COMMAND LIST FILTERBY",
        "COMMAND LIST FOO BAR",
        "COMMAND LIST FILTERBY FOO x",
        "COMMAND LIST FILTERBY PATTERN",
        "COMMAND LIST FILTERBY PATTERN a b",
        "COMMAND LIST FILTERBY PATTERN getd*",
        "COMMAND LIST FILTERBY pattern GETD*",
        "COMMAND LIST FILTERBY PATTERN client|k*",
        "COMMAND LIST FILTERBY ACLCAT nope",
        "COMMAND LIST FILTERBY ACLCAT @string",
        "COMMAND LIST FILTERBY MODULE nope",
        "COMMAND INFO nope get client|nope",
        "COMMAND DOCS nope",
        "COMMAND HELP",
        "COMMAND GETKEYS",
        "COMMAND GETKEYS get",
        "COMMAND GETKEYS get a",
        "COMMAND GETKEYS get a b",
        "COMMAND GETKEYS FOO",
        "COMMAND GETKEYS ping a",
        "COMMAND GETKEYS mset a b c",
        "COMMAND GETKEYS client id",
        "COMMAND GETKEYS client foo",
        "COMMAND GETKEYS object encoding k",
        "COMMAND GETKEYS object",
        "COMMAND GETKEYS object encoding",
        "COMMAND GETKEYS object|encoding k",
        "COMMAND GETKEYS msetex 2 a b c d",
        "COMMAND GETKEYS msetex 3 a b c d",
        "COMMAND GETKEYS msetex x a b",
        "COMMAND GETKEYS msetex 0 a b",
        "COMMAND GETKEYS del a b c",
        "COMMAND GETKEYS lcs a b",
        "COMMAND GETKEYSANDFLAGS get a",
        "COMMAND GETKEYSANDFLAGS set a b",
        "COMMAND GETKEYSANDFLAGS set a b GET",
        "COMMAND GETKEYSANDFLAGS set a b ifeq c",
        "COMMAND GETKEYSANDFLAGS set a b ifeq get",
        "COMMAND GETKEYSANDFLAGS mset a b c d",
        "COMMAND GETKEYSANDFLAGS rename a b",
        "COMMAND GETKEYSANDFLAGS copy a b",
        "COMMAND GETKEYSANDFLAGS ping",
    ] {
        let words: Vec<_> = command.split(' ').collect();
        let show = |reply: Vec<u8>| String::from_utf8(reply).unwrap();
        assert_eq!(show(ours.raw(&words)), show(oracle.raw(&words)), "{command}");
    }
}
