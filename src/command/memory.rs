//! MEMORY: where the memory goes.

use super::info::Ratio;
use super::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result, Scope,
};
use crate::allocator;
use crate::keyspace::SHARDS;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::state::MemoryUse;

/// Elements of a collection that USAGE looks at by default.
const SAMPLES: usize = 5;

const REPORT: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

const fn report(name: &'static str, flags: Flags, run: super::Handler) -> Command {
    Command {
        name,
        arity: 2,
        flags,
        tips: REPORT,
        scope: Scope::Shards,
        group: Group::Server,
        run,
        ..Command::DEFAULT
    }
}

pub const COMMANDS: &[Command] = &[Command {
    name: "memory",
    arity: -2,
    group: Group::Server,
    subcommands: &[
        report("doctor", Flags::empty(), doctor),
        report("malloc-stats", Flags::LOADING, |_, _, out| {
            out.verbatim(allocator::report().as_bytes());
            Ok(())
        }),
        report("stats", Flags::empty(), stats),
        Command {
            name: "purge",
            arity: 2,
            flags: Flags::LOADING,
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            group: Group::Server,
            run: |_, _, out| {
                allocator::purge();
                out.ok();
                Ok(())
            },
            ..Command::DEFAULT
        },
        Command {
            name: "usage",
            arity: -3,
            flags: Flags::READONLY,
            acl: Categories::READ,
            keys: &[KeySpec::one(2, KeyFlags::RO)],
            group: Group::Server,
            run: usage,
            ..Command::DEFAULT
        },
        Command {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            group: Group::Server,
            run: |_, _, out| {
                out.lines(HELP);
                Ok(())
            },
            ..Command::DEFAULT
        },
    ],
    ..Command::DEFAULT
}];

const HELP: &[&str] = &[
    "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DOCTOR",
    "    Return memory problems reports.",
    "MALLOC-STATS",
    "    Return internal statistics report from the memory allocator.",
    "PURGE",
    "    Attempt to purge dirty pages for reclamation by the allocator.",
    "STATS",
    "    Return information about the memory usage of the server.",
    "USAGE <key> [SAMPLES <count>]",
    "    Return memory in bytes used by <key> and its value. Nested values are",
    "    sampled up to <count> times (default: 5, 0 means sample all).",
    "HELP",
    "    Print this help.",
];

fn usage(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let mut samples = SAMPLES;
    let mut options = args.from(3).iter();
    while let Some(option) = options.next() {
        if !option.eq_ignore_ascii_case(b"samples") {
            return Err(CommandError::SYNTAX);
        }
        let count = options.next().ok_or(CommandError::SYNTAX)?;
        let count = parse_i64(count).ok_or(CommandError::NOT_INTEGER)?;
        samples = usize::try_from(count).map_err(|_| CommandError::SYNTAX)?;
    }
    // An entry that has expired takes memory until it is removed.
    let (db, key) = (cx.caller.db, cx.key());
    match cx.unit.find(db, &key) {
        Some(position) => {
            let entry = cx.unit.table(db, key.slot).get(position);
            out.integer(entry.memory(samples) as i64);
        }
        None => out.null(),
    }
    Ok(())
}

/// What the server needs beside the data itself, in bytes.
pub(super) struct Overhead {
    /// Before there were any data.
    pub startup: u64,
    /// The tables of each database that has keys.
    pub databases: Vec<(usize, u64)>,
    pub clients: u64,
    pub keys: u64,
}

impl Overhead {
    pub fn measure(cx: &mut Cx<'_>, startup: u64) -> Overhead {
        let mut databases = vec![(0, 0); cx.server.keyspace.databases()];
        for shard in 0..SHARDS {
            cx.visit(shard, |shard| {
                for (db, table) in shard.tables() {
                    let (keys, bytes) = &mut databases[db];
                    *keys += table.len() as u64;
                    *bytes += table.memory() as u64;
                }
            });
        }
        let keys = databases.iter().map(|(keys, _)| keys).sum();
        let databases = databases.into_iter().enumerate().filter(|(_, (keys, _))| *keys > 0);
        Overhead {
            startup,
            databases: databases.map(|(db, (_, bytes))| (db, bytes)).collect(),
            clients: cx.server.clients.all().iter().map(|record| record.memory()).sum(),
            keys,
        }
    }

    pub fn total(&self) -> u64 {
        let tables: u64 = self.databases.iter().map(|(_, bytes)| bytes).sum();
        self.startup + tables + self.clients
    }
}

fn stats(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let memory = cx.server.memory.measure();
    let overhead = Overhead::measure(cx, memory.startup);
    let grown = memory.used.saturating_sub(memory.startup);
    let dataset = memory.used.saturating_sub(overhead.total());
    let mut stats = Stats(Vec::new());
    stats.bytes("peak.allocated", memory.peak);
    stats.bytes("total.allocated", memory.used);
    stats.bytes("startup.allocated", memory.startup);
    stats.bytes("replication.backlog", 0);
    stats.bytes("replicas.repl.buffer", 0);
    stats.bytes("clients.slaves", 0);
    stats.bytes("clients.normal", overhead.clients);
    stats.bytes("cluster.links", 0);
    stats.bytes("cluster.slot_import", 0);
    stats.bytes("cluster.slot_export", 0);
    stats.bytes("aof.buffer", 0);
    let scripts = cx.server.scripts.figures();
    stats.bytes("lua.caches", scripts.script_texts);
    stats.bytes("functions.caches", scripts.library_texts);
    for &(db, bytes) in &overhead.databases {
        stats.0.push((format!("db.{db}"), Stat::Tables(bytes)));
    }
    // A table grows without a second one beside it.
    stats.bytes("overhead.db.hashtable.lut", overhead.databases.iter().map(|(_, b)| b).sum());
    stats.bytes("overhead.db.hashtable.rehashing", 0);
    stats.bytes("overhead.total", overhead.total());
    stats.bytes("db.dict.rehashing.count", 0);
    stats.bytes("keys.count", overhead.keys);
    stats.bytes("keys.bytes-per-key", grown.checked_div(overhead.keys).unwrap_or(0));
    stats.bytes("dataset.bytes", dataset);
    stats.ratio("dataset.percentage", Ratio(dataset, grown).percent());
    stats.ratio("peak.percentage", Ratio(memory.used, memory.peak).percent());
    stats.bytes("allocator.allocated", memory.allocated);
    stats.bytes("allocator.active", memory.active);
    stats.bytes("allocator.resident", memory.resident);
    stats.bytes("allocator.muzzy", 0);
    let mut pair = |ratio: &str, bytes: &str, Ratio(part, whole): Ratio| {
        stats.ratio(ratio, Ratio(part, whole).get());
        stats.0.push((bytes.to_owned(), Stat::Bytes(part as i64 - whole as i64)));
    };
    let MemoryUse { used, allocated, active, resident, rss, .. } = memory;
    pair(
        "allocator-fragmentation.ratio",
        "allocator-fragmentation.bytes",
        Ratio(active, allocated),
    );
    pair("allocator-rss.ratio", "allocator-rss.bytes", Ratio(resident, active));
    pair("rss-overhead.ratio", "rss-overhead.bytes", Ratio(rss, resident));
    pair("fragmentation", "fragmentation.bytes", Ratio(rss, used));
    stats.reply(out);
    Ok(())
}

/// The lines of STATS.
struct Stats(Vec<(String, Stat)>);

enum Stat {
    Bytes(i64),
    Ratio(f64),
    /// Of a database, with a table of keys and none of expiries: these are in the entries.
    Tables(u64),
}

impl Stats {
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.0.push((name.to_owned(), Stat::Bytes(bytes as i64)));
    }

    fn ratio(&mut self, name: &str, ratio: f64) {
        self.0.push((name.to_owned(), Stat::Ratio(ratio)));
    }

    fn reply(&self, out: &mut Reply<'_>) {
        out.map(self.0.len());
        for (name, stat) in &self.0 {
            out.bulk(name.as_bytes());
            match stat {
                Stat::Bytes(bytes) => out.integer(*bytes),
                Stat::Ratio(ratio) => out.double(*ratio),
                Stat::Tables(bytes) => {
                    out.map(2);
                    out.bulk(b"overhead.hashtable.main");
                    out.integer(*bytes as i64);
                    out.bulk(b"overhead.hashtable.expires");
                    out.integer(0);
                }
            }
        }
    }
}

/// Bytes in use below which there is nothing to find.
const LITTLE: u64 = 5 << 20;

/// Bytes that are worth a remark.
const MUCH: u64 = 10 << 20;

/// Bytes of buffers that a client has on average without being remarkable.
const CLIENT: u64 = 200 << 10;

fn doctor(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let memory = cx.server.memory.measure();
    let clients = cx.server.clients.all();
    let buffers: u64 = clients.iter().map(|record| record.memory()).sum();
    out.verbatim(diagnosis(&memory, buffers / clients.len().max(1) as u64).as_bytes());
    Ok(())
}

/// What there is to say about so much memory, and so much for each client.
fn diagnosis(memory: &MemoryUse, client: u64) -> String {
    if memory.used < LITTLE {
        return "There is next to nothing in the memory of this server, so there is nothing to \
                find. Ask again when there are some data.\n"
            .to_owned();
    }
    let wasted = |part: u64, whole: u64, most: f64| {
        Ratio(part, whole).get() > most && part.saturating_sub(whole) > MUCH
    };
    let findings = [
        (
            Ratio(memory.peak, memory.used).get() > 1.5,
            "Peak: more than one and a half times as much memory was in use before as is now. The \
             allocator may keep some of it, so the process can look larger than its data. MEMORY \
             PURGE gives back what can be given back.",
        ),
        (
            wasted(memory.rss, memory.used, 1.4),
            "Fragmentation: the process takes up more than 1.4 times the memory that is in use. \
             After a peak this is harmless; otherwise see which of the following is the reason.",
        ),
        (
            wasted(memory.active, memory.allocated, 1.1),
            "Allocator fragmentation: pages of the allocator are partly unused. Values whose sizes \
             change a lot, or that were deleted between others, leave such holes.",
        ),
        (
            wasted(memory.resident, memory.active, 1.1),
            "Allocator residue: the allocator holds pages that nothing is in any more. MEMORY PURGE \
             gives them back.",
        ),
        (
            wasted(memory.rss, memory.resident, 1.1),
            "Memory outside the allocator: libraries, or registered memory of RDMA connections, \
             take a large part of the process.",
        ),
        (
            client > CLIENT,
            "Client buffers: clients have more than 200 KiB of requests and replies each, on \
             average. CLIENT LIST shows which ones do not read their replies.",
        ),
    ];
    let found: Vec<String> = findings
        .iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, text)| format!(" * {text}\n"))
        .collect();
    if found.is_empty() {
        "The memory of this server looks well: nothing was found.\n".to_owned()
    } else {
        format!("This was found:\n\n{}", found.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnosis_names_what_is_unusual() {
        const MIB: u64 = 1 << 20;
        let well = MemoryUse {
            used: 100 * MIB,
            allocated: 100 * MIB,
            active: 105 * MIB,
            resident: 108 * MIB,
            rss: 110 * MIB,
            peak: 110 * MIB,
            startup: MIB,
        };
        assert!(diagnosis(&MemoryUse { used: MIB, ..well }, 0).contains("next to nothing"));
        assert!(diagnosis(&well, 1000).contains("nothing was found"));
        for (memory, client, expected) in [
            (MemoryUse { peak: 200 * MIB, ..well }, 0, &["Peak"][..]),
            (well, MIB, &["Client buffers"]),
            (MemoryUse { rss: 150 * MIB, ..well }, 0, &["Fragmentation", "Memory outside"]),
            (
                MemoryUse { active: 130 * MIB, resident: 150 * MIB, rss: 150 * MIB, ..well },
                0,
                &["Fragmentation", "Allocator fragmentation", "Allocator residue"],
            ),
        ] {
            let text = diagnosis(&memory, client);
            assert_eq!(text.matches(" * ").count(), expected.len(), "{text}");
            assert!(expected.iter().all(|finding| text.contains(&format!(" * {finding}"))));
        }
    }
}
