//! What the command table says of a command.

use bitflags::bitflags;

use super::{Cx, Result};
pub use crate::acl::Categories;
use crate::resp::{Args, Reply};

bitflags! {
    /// Command flags, by the names that COMMAND INFO gives them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u32 {
        const WRITE = 1 << 0;
        const READONLY = 1 << 1;
        const DENYOOM = 1 << 2;
        const ADMIN = 1 << 3;
        const PUBSUB = 1 << 4;
        const NOSCRIPT = 1 << 5;
        const BLOCKING = 1 << 6;
        const LOADING = 1 << 7;
        const STALE = 1 << 8;
        const SKIP_MONITOR = 1 << 9;
        const SKIP_COMMANDLOG = 1 << 10;
        const ASKING = 1 << 11;
        const FAST = 1 << 12;
        const NO_AUTH = 1 << 13;
        const MAY_REPLICATE = 1 << 14;
        const NO_MANDATORY_KEYS = 1 << 15;
        const PROTECTED = 1 << 16;
        const NO_ASYNC_LOADING = 1 << 17;
        const NO_MULTI = 1 << 18;
        const ALLOW_BUSY = 1 << 19;
        const MOVABLE_KEYS = 1 << 20;
        const ALL_DBS = 1 << 21;
        /// It runs at once where others are queued, after MULTI.
        const NOT_QUEUED = 1 << 22;
        /// It runs a script, which others do not wait for longer than `busy-reply-threshold`.
        const RUNS_SCRIPT = 1 << 23;
    }

    /// What a command does with a key, by the names of COMMAND INFO's key specs.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFlags: u32 {
        const RO = 1 << 0;
        const RW = 1 << 1;
        const OW = 1 << 2;
        const RM = 1 << 3;
        const ACCESS = 1 << 4;
        const UPDATE = 1 << 5;
        const INSERT = 1 << 6;
        const DELETE = 1 << 7;
        const NOT_KEY = 1 << 8;
        const INCOMPLETE = 1 << 9;
        const VARIABLE_FLAGS = 1 << 10;
    }
}

impl Flags {
    /// Every command that changes what its caller may do has one of these, and no command that only reads or writes
    /// keys has one.
    pub const CHANGES_CALLER: Flags = Flags::NOSCRIPT.union(Flags::ADMIN);

    /// The names that COMMAND INFO gives, in its order. What it does not show has none.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: &[(Flags, &str)] = &[
            (Flags::PUBSUB, "pubsub"),
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::DENYOOM, "denyoom"),
            (Flags::BLOCKING, "blocking"),
            (Flags::ADMIN, "admin"),
            (Flags::ASKING, "asking"),
            (Flags::NOSCRIPT, "noscript"),
            (Flags::LOADING, "loading"),
            (Flags::STALE, "stale"),
            (Flags::SKIP_MONITOR, "skip_monitor"),
            (Flags::FAST, "fast"),
            (Flags::SKIP_COMMANDLOG, "skip_commandlog"),
            (Flags::NO_ASYNC_LOADING, "no_async_loading"),
            (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::MOVABLE_KEYS, "movablekeys"),
            (Flags::ALLOW_BUSY, "allow_busy"),
        ];
        NAMES.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}

impl KeyFlags {
    /// The names that COMMAND INFO gives, in its order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: &[(KeyFlags, &str)] = &[
            (KeyFlags::OW, "OW"),
            (KeyFlags::RM, "RM"),
            (KeyFlags::RO, "RO"),
            (KeyFlags::RW, "RW"),
            (KeyFlags::NOT_KEY, "not_key"),
            (KeyFlags::ACCESS, "access"),
            (KeyFlags::UPDATE, "update"),
            (KeyFlags::DELETE, "delete"),
            (KeyFlags::INSERT, "insert"),
            (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
            (KeyFlags::INCOMPLETE, "incomplete"),
        ];
        NAMES.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}

/// The family a command belongs to, as COMMAND DOCS names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    PubSub,
    Transactions,
    Connection,
    Server,
    Scripting,
    HyperLogLog,
    Cluster,
    Geo,
    Stream,
    Bitmap,
}

/// Where a command's keys begin.
#[derive(Clone, Copy, Debug)]
pub enum BeginSearch {
    /// At this argument.
    Index(usize),
    /// After this word, searched from an argument on (from the end if negative).
    Keyword(&'static str, i32),
    /// After the last of these words, each of which has a value after it, if that is the first of
    /// them; searched from an argument on. Clients are told of a keyword.
    LastKeyword(&'static [&'static str], i32),
    Unknown,
    /// Where this says, which clients cannot know: COMMAND INFO calls it unknown. There is one key.
    Computed(fn(Args<'_>) -> Option<usize>),
}

/// Which arguments are keys, from where they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindKeys {
    /// To `last` (relative to the first; negative: from the end of all arguments), every `step`th;
    /// `limit` of 2 means the first half of the remaining arguments, and so on.
    Range {
        last: i32,
        step: usize,
        limit: usize,
    },
    /// A count at `count` (relative to the first), the keys from `first`, every `step`th.
    Number {
        count: usize,
        first: usize,
        step: usize,
    },
    Unknown,
}

/// One group of keys in a command's arguments.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub flags: KeyFlags,
    pub begin: BeginSearch,
    pub find: FindKeys,
    pub notes: Option<&'static str>,
}

impl KeySpec {
    /// The one key at argument `index`.
    pub const fn one(index: usize, flags: KeyFlags) -> KeySpec {
        KeySpec::range(index, 0, 1, flags)
    }

    /// Keys from argument `index` to `last` (relative; negative: from the end), every `step`th.
    pub const fn range(index: usize, last: i32, step: usize, flags: KeyFlags) -> KeySpec {
        KeySpec {
            flags,
            begin: BeginSearch::Index(index),
            find: FindKeys::Range { last, step, limit: 0 },
            notes: None,
        }
    }

    /// A count at argument `index`, then so many keys, every `step`th.
    pub const fn counted(index: usize, step: usize, flags: KeyFlags) -> KeySpec {
        KeySpec {
            flags,
            begin: BeginSearch::Index(index),
            find: FindKeys::Number { count: 0, first: 1, step },
            notes: None,
        }
    }
}

/// What a command holds while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The shards of its keys.
    Keys,
    /// One shard after the other, which it locks as it goes. (A transaction that has such a command
    /// among its own needs the whole keyspace.)
    Shards,
    /// All shards at once, in one view of the keyspace that needs no exclusive section.
    EveryShard,
    /// The whole keyspace, to itself.
    Exclusive,
    /// What the caller's transaction needs: the shards of the watched keys and, for EXEC, what the queued
    /// commands need.
    Transaction,
}

/// Which arguments are channels that a user must be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    None,
    /// The first argument.
    First,
    /// All arguments.
    Listed,
    /// All arguments, which are patterns.
    Patterns,
}

/// Whether a command reads or writes its keys: what a failing lookup and an access count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// Runs a command. Its reply goes into the [`Reply`], unless it returns an error, which is then the
/// reply; it must not do both.
pub type Handler = fn(&mut Cx<'_>, Args<'_>, &mut Reply<'_>) -> Result;

/// One row of the command table.
pub struct Command {
    /// In lower case. A subcommand's is the second word alone.
    pub name: &'static str,
    /// Number of arguments with the name; negative: at least so many.
    pub arity: i32,
    pub flags: Flags,
    /// Categories beyond those that follow from the flags: see [`Command::categories`].
    pub acl: Categories,
    pub keys: &'static [KeySpec],
    /// What a call does with its key, for specs with [`KeyFlags::VARIABLE_FLAGS`].
    pub variable_flags: Option<fn(Args<'_>) -> KeyFlags>,
    /// Hints for clients, as in COMMAND INFO.
    pub tips: &'static [&'static str],
    pub group: Group,
    pub scope: Scope,
    /// The arguments that are channels to publish in or to subscribe to.
    pub channels: Channels,
    /// The positions of the arguments that are databases.
    pub databases: Option<fn(Args<'_>) -> Vec<usize>>,
    /// What a call holds, where that depends on its arguments.
    pub scope_of: Option<fn(Args<'_>) -> Scope>,
    pub run: Handler,
    pub subcommands: &'static [Command],
}

impl Command {
    /// What rows leave out: `Command { name: "get", …, ..Command::DEFAULT }`.
    pub const DEFAULT: Command = Command {
        name: "",
        arity: 1,
        flags: Flags::empty(),
        acl: Categories::empty(),
        keys: &[],
        variable_flags: None,
        channels: Channels::None,
        databases: None,
        tips: &[],
        group: Group::Generic,
        scope: Scope::Keys,
        scope_of: None,
        run: |_, _, _| Err("ERR a container command needs a subcommand".into()),
        subcommands: &[],
    };

    /// All ACL categories: the named ones, and those that Valkey derives from the flags.
    pub fn categories(&self) -> Categories {
        let mut all = self.acl;
        let derived = [
            (Flags::WRITE, Categories::WRITE),
            (Flags::READONLY, Categories::READ),
            (Flags::ADMIN, Categories::ADMIN.union(Categories::DANGEROUS)),
            (Flags::PUBSUB, Categories::PUBSUB),
            (Flags::FAST, Categories::FAST),
            (Flags::BLOCKING, Categories::BLOCKING),
        ];
        for (flag, category) in derived {
            if self.flags.contains(flag) {
                all |= category;
            }
        }
        // Scripting commands are neither read nor written by their flags alone.
        if all.contains(Categories::SCRIPTING) {
            all -= Categories::READ;
        }
        if !all.contains(Categories::FAST) {
            all |= Categories::SLOW;
        }
        all
    }

    /// True if `count` arguments, the name among them, are allowed.
    #[inline]
    pub fn accepts(&self, count: usize) -> bool {
        let count = count as i64;
        let arity = i64::from(self.arity);
        if arity >= 0 { count == arity } else { count >= -arity }
    }
}
