//! CLUSTER, CLUSTERSCAN, ASKING, READONLY and READWRITE, as a server outside of cluster mode answers them.

use super::{
    Categories, Command, CommandError, Cx, Flags, Group, Handler, KeyFlags, KeySpec, Result,
};
use crate::keyspace::slot;
use crate::resp::{Args, Reply};

const DISABLED: CommandError = CommandError::of("ERR This instance has cluster support disabled");

const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE);
const ADMIN: Flags = Flags::ADMIN.union(Flags::STALE);
const ADMIN_LOADED: Flags = ADMIN.union(Flags::NO_ASYNC_LOADING);

pub const COMMANDS: &[Command] = &[
    Command { acl: Categories::CONNECTION, ..row("asking", 1, Flags::FAST) },
    Command { subcommands: SUBCOMMANDS, ..row("cluster", -2, Flags::empty()) },
    Command {
        acl: Categories::KEYSPACE,
        keys: &[KeySpec::one(1, KeyFlags::NOT_KEY)],
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        ..row("clusterscan", -2, Flags::READONLY)
    },
    mode("readonly", |cx, _, out| set_readonly(cx, true, out)),
    mode("readwrite", |cx, _, out| set_readonly(cx, false, out)),
];

/// Whether a cluster's replica may serve reads: outside of a cluster it is a letter in CLIENT LIST.
const fn mode(name: &'static str, run: Handler) -> Command {
    Command { acl: Categories::CONNECTION, run, ..row(name, 1, ANY_TIME.union(Flags::FAST)) }
}

fn set_readonly(cx: &mut Cx<'_>, readonly: bool, out: &mut Reply<'_>) -> Result {
    cx.caller.readonly = readonly;
    out.ok();
    Ok(())
}

const SUBCOMMANDS: &[Command] = &[
    row("addslots", -3, ADMIN_LOADED),
    row("addslotsrange", -4, ADMIN_LOADED),
    varying(row("bumpepoch", 2, ADMIN_LOADED)),
    row("cancelslotmigrations", 2, ADMIN_LOADED.union(Flags::ALL_DBS)),
    varying(row("count-failure-reports", 3, ADMIN)),
    row("countkeysinslot", 3, Flags::STALE),
    row("delslots", -3, ADMIN_LOADED),
    row("delslotsrange", -4, ADMIN_LOADED),
    row("failover", -2, ADMIN_LOADED),
    Command {
        acl: Categories::KEYSPACE,
        ..row(
            "flushslot",
            -3,
            Flags::WRITE.union(ADMIN_LOADED).difference(Flags::STALE).union(Flags::ALL_DBS),
        )
    },
    row("flushslots", 2, ADMIN_LOADED),
    row("forget", 3, ADMIN_LOADED),
    varying(row("getkeysinslot", 4, Flags::STALE)),
    row("getslotmigrations", 2, ADMIN_LOADED),
    row("help", 2, ANY_TIME),
    varying(row("info", 2, ANY_TIME)),
    Command { run: key_slot, ..row("keyslot", 3, Flags::STALE) },
    varying(row("links", 2, Flags::STALE)),
    row("meet", -4, ADMIN_LOADED),
    row("migrateslots", -4, ADMIN_LOADED.union(Flags::ALL_DBS)),
    row("myid", 2, ANY_TIME),
    varying(row("myshardid", 2, ANY_TIME)),
    varying(row("nodes", 2, ANY_TIME)),
    varying(row("replicas", 3, ADMIN)),
    row("replicate", -3, ADMIN_LOADED),
    row("reset", -2, ADMIN.union(Flags::NOSCRIPT)),
    row("saveconfig", 2, ADMIN_LOADED),
    row("set-config-epoch", 3, ADMIN_LOADED),
    row("setslot", -4, ADMIN_LOADED),
    varying(row("shards", 2, ANY_TIME)),
    varying(row("slaves", 3, ADMIN)),
    Command {
        tips: &["nondeterministic_output", "request_policy:all_shards"],
        ..row("slot-stats", -4, ANY_TIME)
    },
    varying(row("slots", 2, ANY_TIME)),
    row("syncslots", -3, ADMIN_LOADED),
];

const fn row(name: &'static str, arity: i32, flags: Flags) -> Command {
    Command { name, arity, flags, group: Group::Cluster, run: disabled, ..Command::DEFAULT }
}

const fn varying(command: Command) -> Command {
    Command { tips: &["nondeterministic_output"], ..command }
}

fn disabled(_: &mut Cx<'_>, _: Args<'_>, _: &mut Reply<'_>) -> Result {
    Err(DISABLED)
}

/// CLUSTER KEYSLOT key
fn key_slot(_: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    out.integer(slot(args.at(2)).into());
    Ok(())
}
