//! DEBUG's switches, and the subcommands that concern parts which this server does not have.

use super::unknown;
use crate::command::{CommandError, Cx, Result};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::state::Switch;

/// Switches of parts that this server does not have, so that both positions are the same.
const NOTHING_TO_SWITCH: &[&[u8]] = &[
    b"aof-flush-sleep",
    b"client-enforce-reply-list",
    b"close-cluster-link-on-packet-drop",
    b"delay-rdb-client-free-seconds",
    b"dict-resizing",
    b"disable-cluster-random-ping",
    b"disable-cluster-reconnection",
    b"force-free-primary-async",
    b"hashtable-can-abort-shrink",
    b"pause-after-fork",
];

/// The subcommands that turn something on or off.
pub fn turn(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let name = args[1].to_ascii_lowercase();
    match (name.as_slice(), args.len()) {
        (b"set-active-expire", 3) => cx.server.switches.set(Switch::ActiveExpiry, is_on(args)),
        (b"pause-cron", 3) => cx.server.switches.set(Switch::PeriodicTasks, !is_on(args)),
        (b"set-skip-checksum-validation", 3) => {
            cx.server.switches.set(Switch::Checksums, !is_on(args));
        }
        (b"set-disable-deny-scripts", 3) => {
            cx.server.switches.set(Switch::ScriptDenials, !is_on(args));
        }
        (b"drop-cluster-packet-filter", 3) => {
            parse_i64(&args[2]).ok_or(CommandError::NOT_INTEGER)?;
        }
        (b"clusterlink", 5) if args[2].eq_ignore_ascii_case(b"kill") => {
            return Err("ERR Debug option only available for cluster mode enabled setup!".into());
        }
        (b"force-tls-write-error", 3) => return Err("ERR TLS is not enabled".into()),
        // There are no replicas that could be sent something.
        (b"replicate", 3..) => {}
        (b"slotmigration", 4) if is_migration_switch(args.at(2)) => {}
        (name, 3) if NOTHING_TO_SWITCH.contains(&name) => {}
        _ => return Err(unknown(args)),
    }
    out.ok();
    Ok(())
}

/// A word that is no number is 0, for Valkey too.
fn is_on(args: Args<'_>) -> bool {
    parse_i64(&args[2]).is_some_and(|number| number != 0)
}

fn is_migration_switch(word: &[u8]) -> bool {
    let known = ["prevent-pause", "prevent-failover"];
    known.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}
