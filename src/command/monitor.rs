//! MONITOR: a client is shown every command that the server runs, its own aside that are for
//! administrators.

use std::fmt::Write as _;
use std::net::SocketAddr;

use verbena_transport::Endpoint;

use super::redaction::is_secret;
use super::{Caller, Categories, Command, Cx, Env, Flags, Group, Origin, Registered, Result};
use crate::config::quoted;
use crate::resp::{Args, Reply};
use crate::state::{OutboxSender, unix_microseconds};

pub const COMMANDS: &[Command] = &[Command {
    name: "monitor",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    acl: Categories::ADMIN,
    group: Group::Server,
    run: monitor,
    ..Command::DEFAULT
}];

fn monitor(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    if cx.caller.origin != Origin::Client {
        return Err("ERR MONITOR isn't allowed for DENY BLOCKING client".into());
    }
    // As Valkey, it leaves a second call without a reply.
    if !cx.caller.monitors {
        cx.caller.monitors = true;
        cx.server.monitors.add(&cx.caller.record);
        out.ok();
    }
    Ok(())
}

/// Shows a command that has run to the clients that watch.
#[cold]
pub fn show(env: &Env<'_>, caller: &Caller, found: &Registered, args: Args<'_>) {
    if found.command.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN) {
        return;
    }
    let mut sender = OutboxSender::new(&env.settings.client_output_buffer_limit);
    env.server.monitors.show(line(caller, found, args), &mut sender);
    env.server.end_over_limit(sender);
}

/// Shows a command that runs a script, before those that the script calls.
#[cold]
pub fn show_script(env: &Env<'_>, caller: &Caller, found: &Registered, args: Args<'_>) {
    let mut sender = OutboxSender::new(&env.settings.client_output_buffer_limit);
    env.server.monitors.show(line(caller, found, args), &mut sender);
    env.server.end_over_limit(sender);
}

/// The line of a command, without the `+` before it.
fn line(caller: &Caller, found: &Registered, args: Args<'_>) -> Vec<u8> {
    let now = unix_microseconds();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{}.{:06} [{} ", now / 1_000_000, now % 1_000_000, caller.db);
    let _ = match caller.origin {
        Origin::Script => write!(text, "lua]"),
        _ => write!(text, "{}]", Address(&caller.record.info.peer)),
    };
    let mut line = text.into_bytes();
    for (index, arg) in args.iter().enumerate() {
        let shown = if is_secret(found, args, index) { b"(redacted)" } else { arg };
        line.push(b' ');
        line.extend(quoted(shown));
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// A client's address as MONITOR shows it.
struct Address<'a>(&'a Endpoint);

impl std::fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Endpoint::Ip(address) => SocketAddr::fmt(address, f),
            Endpoint::Path(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
