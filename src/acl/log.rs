//! The log of what was denied (ACL LOG), and the counts of INFO.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Milliseconds within which denials of the same are one entry.
const GROUPED_WITHIN: i64 = 60_000;

/// The newest entries, one of which may be about the same.
const COMPARED: usize = 10;

/// Why something was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Command,
    Key,
    Channel,
    Database,
    /// A wrong password, or no such user.
    Auth,
    /// A certificate names no enabled user.
    TlsCertificate,
}

/// Where a command was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    TopLevel,
    /// When it was queued, or by EXEC.
    Multi,
    /// By a script, or a function.
    Lua,
}

impl Reason {
    const COUNT: usize = 6;

    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Database => "database",
            Reason::Auth => "auth",
            Reason::TlsCertificate => "tls-cert",
        }
    }
}

impl Context {
    pub fn name(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
            Context::Lua => "lua",
        }
    }
}

/// One denial, or several of the same.
#[derive(Clone, Debug)]
pub struct Denial {
    pub reason: Reason,
    pub context: Context,
    /// The command, key, channel or database.
    pub object: Vec<u8>,
    pub user: Box<[u8]>,
    /// The client's line of CLIENT LIST.
    pub client: Vec<u8>,
}

/// An entry of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: u64,
    pub count: u64,
    /// Milliseconds of Unix time: of the first denial, and of the last one.
    pub created: i64,
    pub updated: i64,
    pub denial: Denial,
}

/// The log, newest entries first.
#[derive(Default)]
pub struct Log {
    entries: Mutex<Entries>,
    counts: [AtomicU64; Reason::COUNT],
}

#[derive(Default)]
struct Entries {
    newest_first: VecDeque<Entry>,
    next_id: u64,
}

impl Log {
    /// Counts a denial, without an entry.
    pub fn count(&self, reason: Reason) {
        self.counts[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was denied for that reason.
    pub fn denied(&self, reason: Reason) -> u64 {
        self.counts[reason as usize].load(Ordering::Relaxed)
    }

    /// Notes a denial at the time `now`, in milliseconds of Unix time, and keeps at most `most` entries.
    pub fn add(&self, denial: Denial, now: i64, most: usize) {
        let entries = &mut *self.entries.lock();
        if most == 0 {
            entries.newest_first.clear();
            return;
        }
        let is_same = |entry: &Entry| {
            let known = &entry.denial;
            known.reason == denial.reason
                && known.context == denial.context
                && now - entry.updated <= GROUPED_WITHIN
                && known.object == denial.object
                && known.user == denial.user
        };
        let known = entries.newest_first.iter().take(COMPARED).position(is_same);
        let entry = match known.and_then(|index| entries.newest_first.remove(index)) {
            Some(entry) => Entry { count: entry.count + 1, updated: now, denial, ..entry },
            None => {
                let id = entries.next_id;
                entries.next_id += 1;
                Entry { id, count: 1, created: now, updated: now, denial }
            }
        };
        entries.newest_first.push_front(entry);
        entries.newest_first.truncate(most);
    }

    /// The newest entries, at most so many.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.entries.lock().newest_first.iter().take(count).cloned().collect()
    }

    /// Forgets all entries.
    pub fn clear(&self) {
        self.entries.lock().newest_first.clear();
    }
}
