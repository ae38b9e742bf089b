//! How much memory the process uses, asked of the allocator and of the system.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use tikv_jemalloc_ctl::{epoch, stats};

use crate::allocator;

/// What the server remembers of its memory.
#[derive(Default)]
pub struct Memory {
    peak: AtomicU64,
    startup: AtomicU64,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryUse {
    /// What the program has allocated.
    pub used: u64,
    /// The same, as far as the allocator knows: libraries of other languages and its own caches may
    /// make a difference.
    pub allocated: u64,
    /// The pages that hold it, and those that the allocator keeps besides.
    pub active: u64,
    pub resident: u64,
    /// What the system counts as the process's.
    pub rss: u64,
    /// The most that was in use, as far as it was looked at: once a second, and by INFO.
    pub peak: u64,
    /// What was in use when the server was ready.
    pub startup: u64,
}

impl Memory {
    /// Looks at the memory now.
    pub fn measure(&self) -> MemoryUse {
        // The allocator's statistics are as of the last advance of its epoch. They can't fail: the
        // names are the ones that it has.
        let _ = epoch::advance();
        let bytes = |read: Result<usize, _>| read.map_or(0, |bytes| bytes as u64);
        let used = allocator::allocated() as u64;
        let peak = self.peak.fetch_max(used, Ordering::Relaxed).max(used);
        MemoryUse {
            used,
            allocated: bytes(stats::allocated::read()),
            active: bytes(stats::active::read()),
            resident: bytes(stats::resident::read()),
            rss: resident_pages() * page_size(),
            peak,
            startup: self.startup.load(Ordering::Relaxed),
        }
    }

    /// Remembers what the server needs without any data.
    pub fn ready(&self) {
        self.startup.store(self.measure().used, Ordering::Relaxed);
    }
}

fn resident_pages() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0)
}

fn page_size() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    size.ok().flatten().map_or(4096, |size| size as u64)
}

/// Bytes of memory that the machine has.
pub fn machine_memory() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
