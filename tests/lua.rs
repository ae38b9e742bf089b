//! The Lua state beside Valkey: a script's reply is compared with the real server's. The commands that the script
//! calls are executed by that server in both cases.

mod common;
#[path = "lua/generated.rs"]
mod generated;
#[path = "lua/hostile.rs"]
mod hostile;
#[path = "lua/libraries.rs"]
mod libraries;

use std::sync::Arc;

use common::{Client, Server};
use verbena::lua::{Function, Host, Interrupt, Kind, LogLevel, Registration, Sequence, State};
use verbena::resp::{OwnedArgs, Protocol, Reply};

const LIMIT: usize = 256 << 20;

/// Executes commands at the oracle.
struct Remote {
    resp2: Client,
    resp3: Client,
    reply: Vec<u8>,
    functions: Vec<(String, Function)>,
}

impl Remote {
    fn new(server: &Server) -> Remote {
        let mut resp3 = server.connect();
        resp3.run("HELLO 3");
        Remote { resp2: server.connect(), resp3, reply: Vec::new(), functions: Vec::new() }
    }
}

impl Host for Remote {
    fn call(&mut self, arguments: &[&[u8]], protocol: Protocol) -> &[u8] {
        let client = match protocol {
            Protocol::Resp2 => &mut self.resp2,
            Protocol::Resp3 => &mut self.resp3,
        };
        self.reply = client.raw(arguments);
        // Scripts are told of these errors in other words.
        if self.reply.starts_with(b"-ERR unknown command") {
            self.reply = b"-ERR Unknown command called from script\r\n".to_vec();
        } else if self.reply.starts_with(b"-ERR wrong number of arguments") {
            self.reply = b"-ERR Wrong number of args calling command from script\r\n".to_vec();
        }
        &self.reply
    }

    fn log(&mut self, _: LogLevel, _: &[u8]) {}

    fn set_replication(&mut self, _: u8) {}

    fn may_call(&mut self, arguments: &[&[u8]]) -> Option<bool> {
        (arguments[0] != b"nosuch").then_some(true)
    }

    fn register(&mut self, function: Registration<'_>) -> Result<(), Vec<u8>> {
        let name = String::from_utf8_lossy(function.name).into_owned();
        self.functions.push((name, function.function));
        Ok(())
    }

    fn note_error(&mut self, _: &[u8]) {}

    fn interrupt(&mut self) -> Interrupt {
        Interrupt::Continue
    }
}

/// Evaluates a script as EVAL does, in RESP of this version.
fn evaluate(state: &mut State, host: &mut dyn Host, script: &[u8], protocol: Protocol) -> Vec<u8> {
    let none = OwnedArgs::default();
    let (none, mut space) = (none.args(0..0), vec![0; 64 * 1024]);
    let mut reply = Reply::new(&mut space, protocol);
    match state.compile(script) {
        Err(message) => {
            let text = [b"ERR Error compiling script (new function): ", &message[..]].concat();
            reply.error(text);
        }
        Ok(function) => {
            if let Err(error) = state.run(host, &function, none, none, &mut reply) {
                reply.error(error.text);
            }
            state.forget(function);
        }
    }
    let written = reply.written();
    let chunks = reply.into_chunks();
    let mut bytes = space[..written].to_vec();
    chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
    bytes
}

/// A reply's text, without the addresses that differ from run to run.
fn comparable(reply: &[u8]) -> String {
    let text = reply.escape_ascii().to_string();
    let mut parts = text.split("0x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += "0x";
        out += part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    // The header of a string that has an address tells how long that is.
    if out.contains("0x") {
        out.split_once("\\r\\n").map_or(out.clone(), |(_, rest)| rest.into())
    } else {
        out
    }
}

/// Evaluates the scripts, which `---` separates, here and there, and tells of every difference.
fn compare_scripts(scripts: &str, protocol: Protocol) {
    // The client reads nested replies by calling itself.
    let differences = std::thread::scope(|scope| {
        let compare = std::thread::Builder::new().stack_size(64 << 20);
        let compare = compare.spawn_scoped(scope, || differences(scripts, protocol)).unwrap();
        compare.join().unwrap()
    });
    assert!(differences.is_empty(), "{}:\n{}", differences.len(), differences.join("\n"));
}

fn differences(scripts: &str, protocol: Protocol) -> Vec<String> {
    let oracle = Server::oracle(&[]);
    let mut host = Remote::new(&oracle);
    let mut client = oracle.connect();
    if protocol == Protocol::Resp3 {
        client.run("HELLO 3");
    }
    let mut state = State::new(Kind::Scripts, LIMIT, Arc::default()).unwrap();
    let mut differences = Vec::new();
    let mut count = 0;
    for script in scripts.split("\n---\n") {
        let script = script.trim_end();
        let theirs = client.raw(&[b"EVAL", script.as_bytes(), b"0"]);
        let ours = evaluate(&mut state, &mut host, script.as_bytes(), protocol);
        let (ours, theirs) = (comparable(&ours), comparable(&theirs));
        count += 1;
        if ours != theirs {
            let cut = |text: &str| match text.len() {
                0..700 => text.to_owned(),
                len => format!("{} ... {}, {len} bytes", &text[..300], &text[len - 300..]),
            };
            differences.push(format!(
                "{script}\n  ours:   {}\n  theirs: {}",
                cut(&ours),
                cut(&theirs)
            ));
        }
    }
    assert!(count > 10);
    differences
}

#[test]
fn a_result_is_as_deep_as_the_stack_of_lua() {
    let mut state = State::new(Kind::Scripts, LIMIT, Arc::default()).unwrap();
    let script = b"local t={} t[1]=t return t";
    let reply = evaluate(&mut state, &mut Nobody, script, Protocol::Resp2);
    assert!(reply.starts_with(&b"*1\r\n".repeat(7995)));
    assert!(reply.ends_with(b"\n-ERR reached lua stack limit\r\n"));
}

#[test]
fn scripts_answer_as_valkeys_do() {
    compare_scripts(include_str!("lua/scripts.txt"), Protocol::Resp2);
}

#[test]
fn scripts_answer_as_valkeys_do_in_resp3() {
    compare_scripts(include_str!("lua/scripts.txt"), Protocol::Resp3);
}

/// Answers every command with a short string.
struct Nobody;

impl Host for Nobody {
    fn call(&mut self, _: &[&[u8]], _: Protocol) -> &[u8] {
        b"$3\r\nabc\r\n"
    }

    fn log(&mut self, _: LogLevel, _: &[u8]) {}

    fn set_replication(&mut self, _: u8) {}

    fn may_call(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn register(&mut self, _: Registration<'_>) -> Result<(), Vec<u8>> {
        Ok(())
    }

    fn note_error(&mut self, _: &[u8]) {}

    fn interrupt(&mut self) -> Interrupt {
        Interrupt::Continue
    }
}

#[test]
fn libraries_answer_as_valkeys_do() {
    compare_scripts(include_str!("lua/libraries.txt"), Protocol::Resp2);
}

#[test]
fn functions_of_lua_answer_as_valkeys_do() {
    compare_scripts(include_str!("lua/functions.txt"), Protocol::Resp2);
}

#[test]
fn a_loop_of_calls_ends_with_the_last_reply() {
    let mut state = State::new(Kind::Scripts, LIMIT, Arc::new(Sequence::default())).unwrap();
    let script = b"for i=1,100000 do redis.call('get','k') end return redis.call('get','k')";
    let reply = evaluate(&mut state, &mut Nobody, script, Protocol::Resp2);
    assert_eq!(reply, b"$3\r\nabc\r\n");
}
