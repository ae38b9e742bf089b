//! The categories of commands that rules name.

use bitflags::bitflags;

bitflags! {
    /// ACL categories of a command.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Categories: u32 {
        const KEYSPACE = 1 << 0;
        const READ = 1 << 1;
        const WRITE = 1 << 2;
        const SET = 1 << 3;
        const SORTEDSET = 1 << 4;
        const LIST = 1 << 5;
        const HASH = 1 << 6;
        const STRING = 1 << 7;
        const BITMAP = 1 << 8;
        const HYPERLOGLOG = 1 << 9;
        const GEO = 1 << 10;
        const STREAM = 1 << 11;
        const PUBSUB = 1 << 12;
        const ADMIN = 1 << 13;
        const FAST = 1 << 14;
        const SLOW = 1 << 15;
        const BLOCKING = 1 << 16;
        const DANGEROUS = 1 << 17;
        const CONNECTION = 1 << 18;
        const TRANSACTION = 1 << 19;
        const SCRIPTING = 1 << 20;
    }
}

impl Categories {
    /// The names, in the order of COMMAND INFO.
    const NAMES: &[(Categories, &str)] = &[
        (Categories::KEYSPACE, "keyspace"),
        (Categories::PUBSUB, "pubsub"),
        (Categories::READ, "read"),
        (Categories::WRITE, "write"),
        (Categories::STREAM, "stream"),
        (Categories::SET, "set"),
        (Categories::HYPERLOGLOG, "hyperloglog"),
        (Categories::BITMAP, "bitmap"),
        (Categories::HASH, "hash"),
        (Categories::GEO, "geo"),
        (Categories::STRING, "string"),
        (Categories::SORTEDSET, "sortedset"),
        (Categories::ADMIN, "admin"),
        (Categories::LIST, "list"),
        (Categories::SLOW, "slow"),
        (Categories::FAST, "fast"),
        (Categories::SCRIPTING, "scripting"),
        (Categories::DANGEROUS, "dangerous"),
        (Categories::TRANSACTION, "transaction"),
        (Categories::BLOCKING, "blocking"),
        (Categories::CONNECTION, "connection"),
    ];

    /// The names of those that it has, without their `@`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(category, _)| self.contains(*category)).map(|(_, n)| *n)
    }

    /// The category of that name, without its `@`, in any case.
    pub fn named(name: &[u8]) -> Option<Categories> {
        let found =
            Self::NAMES.iter().find(|(_, known)| name.eq_ignore_ascii_case(known.as_bytes()));
        found.map(|(category, _)| *category)
    }
}
