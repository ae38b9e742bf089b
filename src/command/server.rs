//! Commands about the server itself: TIME, LASTSAVE, ROLE, SHUTDOWN.

use super::Ending;
use super::{Categories, Command, CommandError, Cx, Flags, Group, Result};
use crate::log;
use crate::resp::{Args, Reply};
use crate::state::{ControlRequest, unix_microseconds};

const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE);

pub const COMMANDS: &[Command] = &[
    Command {
        name: "lastsave",
        arity: 1,
        flags: ANY_TIME.union(Flags::FAST),
        acl: Categories::ADMIN.union(Categories::DANGEROUS),
        tips: &["nondeterministic_output"],
        group: Group::Server,
        run: |cx, _, out| {
            // Nothing was ever saved: Valkey then says when the server started.
            out.integer(cx.server.started_at / 1000);
            Ok(())
        },
        ..Command::DEFAULT
    },
    Command {
        name: "role",
        arity: 1,
        flags: ANY_TIME.union(Flags::NOSCRIPT).union(Flags::FAST),
        acl: Categories::ADMIN.union(Categories::DANGEROUS),
        group: Group::Server,
        run: |_, _, out| {
            out.array(3);
            out.bulk(b"master");
            out.integer(0);
            out.array(0);
            Ok(())
        },
        ..Command::DEFAULT
    },
    Command {
        name: "shutdown",
        arity: -1,
        flags: ANY_TIME
            .union(Flags::ADMIN)
            .union(Flags::NOSCRIPT)
            .union(Flags::NO_MULTI)
            .union(Flags::ALLOW_BUSY),
        group: Group::Server,
        run: shutdown,
        ..Command::DEFAULT
    },
    Command {
        name: "time",
        arity: 1,
        flags: ANY_TIME.union(Flags::FAST),
        tips: &["nondeterministic_output"],
        group: Group::Server,
        run: |_, _, out| {
            let now = unix_microseconds();
            out.array(2);
            out.bulk_integer(now / 1_000_000);
            out.bulk_integer(now % 1_000_000);
            Ok(())
        },
        ..Command::DEFAULT
    },
];

fn shutdown(cx: &mut Cx<'_>, args: Args<'_>, _: &mut Reply<'_>) -> Result {
    let (mut save, mut nosave, mut failover, mut now, mut force) =
        (false, false, false, false, false);
    let (mut abort, mut others) = (false, 0);
    for option in args.iter().skip(1) {
        let flag = match option.to_ascii_lowercase().as_slice() {
            b"save" => &mut save,
            b"nosave" => &mut nosave,
            b"failover" => &mut failover,
            b"abort" => {
                abort = true;
                continue;
            }
            b"now" => &mut now,
            b"force" => &mut force,
            // There is no primary to protect.
            b"safe" => {
                others += 1;
                continue;
            }
            _ => return Err(CommandError::SYNTAX),
        };
        *flag = true;
        others += 1;
    }
    if (save && nosave) || (abort && others > 0) {
        return Err(CommandError::SYNTAX);
    }
    if abort {
        return Err("ERR No shutdown in progress.".into());
    }
    if failover {
        return Err("ERR SHUTDOWN FAILOVER is only supported in cluster mode.".into());
    }
    if !nosave && cx.server.scripts.running.get().is_some() {
        return Err(super::busy(cx.server));
    }
    if save && !force {
        log::warning("SHUTDOWN SAVE was refused: this version can't save the data to a file.");
        return Err("ERR Errors trying to SHUTDOWN. Check logs.".into());
    }
    let by = format!("user request from 'id={}", cx.caller.record.id);
    let info = &cx.caller.record.info;
    let by = format!("{by} addr={} laddr={}'", info.peer, info.local);
    // The control thread ends only with the process.
    let _ = cx.server.control.send(ControlRequest::Shutdown { by, now });
    // There is no reply: the end of the connection says that it is done.
    cx.caller.ending = Ending::AfterReply;
    Ok(())
}
