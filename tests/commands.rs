//! What COMMAND tells is what the oracle tells, for the commands that there are.

mod common;

use std::collections::BTreeMap;

use common::{Client, Server, Value};

fn both() -> (Client, Client, (Server, Server)) {
    let (ours, oracle) = (Server::start(&[]), Server::oracle(&[]));
    (ours.connect(), oracle.connect(), (ours, oracle))
}

/// The names of our commands, subcommands included as `config|get`.
fn names(client: &mut Client) -> Vec<String> {
    let names = client.run("COMMAND LIST FILTERBY PATTERN *");
    names.elements().iter().map(Value::text).collect()
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
            // Containers list the subcommands that there are, which are compared one by one.
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
    assert_eq!(all.len(), ours.run("COMMAND LIST").elements().len());
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
    let category = |client: &mut Client| -> Vec<String> {
        let names = client.run("COMMAND LIST FILTERBY ACLCAT string");
        let mut names: Vec<_> = names.elements().iter().map(Value::text).collect();
        names.sort();
        names
    };
    assert_eq!(category(&mut ours), category(&mut oracle));
}
