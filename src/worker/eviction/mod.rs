//! Eviction: keys go when the memory in use passes `maxmemory`, those first that `maxmemory-policy`
//! can do best without.
//!
//! The worker that is to execute a command makes room before it locks anything, so any number of
//! workers evict at the same time, each with its own samples. It looks at the memory once per turn,
//! and then again when it has used up what it may allocate unseen.

mod pool;
mod sampling;

use std::rc::Rc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use verbena_transport::event_loop::yield_now;

use super::Worker;
use crate::allocator::ThreadCount;
use crate::command;
use crate::config::{MaxmemoryPolicy, Settings};
use crate::keyspace::{Entered, Key, Listeners, Reason};
use crate::state::{LatencyEvent, LatencyMonitor, Room};
use crate::table::hash;
use crate::value::{Entry, access};
use pool::{Candidate, Pool};
use sampling::WeightedTables;

/// The most that a worker allocates between two looks at the memory in use, in bytes.
const UNSEEN: i64 = 64 << 10;

/// Elements by which the size of an evicted collection is estimated.
const SIZE_SAMPLES: usize = 5;

/// How long to wait for the thread that frees in the background, between two looks.
const FREEING: Duration = Duration::from_micros(100);

/// One worker's eviction.
#[derive(Default)]
pub struct Evictor {
    policy: Option<MaxmemoryPolicy>,
    pool: Pool,
    tables: WeightedTables,
}

impl Evictor {
    /// Makes room for what a command may allocate. `granted` is how much the thread may have
    /// allocated (by its own count) before it must look again.
    pub(super) fn make_room(
        &mut self,
        worker: &Worker,
        entered: &Entered<'static>,
        settings: &Settings,
        now: i64,
        granted: &mut i64,
    ) -> Room {
        let server = worker.server;
        let limit = i64::try_from(settings.maxmemory).unwrap_or(i64::MAX);
        let room = limit - server.memory_in_use();
        if room >= 0 {
            server.eviction.note(false);
            // However many workers do so, they stay below a two hundredth of the limit.
            let workers = server.workers() as i64;
            let share = (room / 2).min(limit / 200) / workers;
            *granted = ThreadCount::own().get() + share.min(UNSEEN);
            return Room::Made;
        }
        *granted = i64::MIN;
        server.eviction.note(true);
        let began = LatencyMonitor::begin(settings);
        let room = self.evict(worker, entered, settings, now, limit);
        server.latency.end(settings, LatencyEvent::EvictionCycle, began);
        match room {
            Room::Made => server.eviction.note(false),
            Room::Later => server.eviction.start(),
            Room::None => {}
        }
        room
    }

    /// Evicts until the memory in use is below the limit, or the time for it is over.
    fn evict(
        &mut self,
        worker: &Worker,
        entered: &Entered<'static>,
        settings: &Settings,
        now: i64,
        limit: i64,
    ) -> Room {
        let server = worker.server;
        let started = Instant::now();
        let patience = patience(settings.maxmemory_eviction_tenacity);
        let is_over = || patience.is_some_and(|patience| started.elapsed() >= patience);
        // What clients are told of evicted keys takes memory until it is sent, perhaps more than the keys
        // had: as many keys go as are too many now.
        let excess = server.memory_in_use() - limit;
        let mut freed = 0;
        while settings.maxmemory_policy != MaxmemoryPolicy::NoEviction
            && !settings.import_mode
            && let Some(bytes) = self.evict_one(worker, entered, settings, now)
        {
            freed += bytes as i64;
            if freed >= excess || server.memory_in_use() <= limit {
                return Room::Made;
            }
            if is_over() {
                return Room::Later;
            }
        }
        let began = LatencyMonitor::begin(settings);
        // What was estimated of it may be too little.
        while server.lazy_free.pending() > 0 && !is_over() {
            std::thread::sleep(FREEING);
            if server.memory_in_use() <= limit {
                server.latency.end(settings, LatencyEvent::EvictionLazyfree, began);
                return Room::Made;
            }
        }
        server.latency.end(settings, LatencyEvent::EvictionLazyfree, began);
        Room::None
    }

    /// Evicts the best candidate, and says how many bytes that frees; `None` if there is no key that may
    /// go.
    fn evict_one(
        &mut self,
        worker: &Worker,
        entered: &Entered<'static>,
        settings: &Settings,
        now: i64,
    ) -> Option<usize> {
        let policy = settings.maxmemory_policy;
        if self.policy.replace(policy) != Some(policy) {
            self.pool.clear();
        }
        loop {
            let mut seen = 0;
            while seen < settings.maxmemory_samples {
                let drawn = self.tables.draw(entered, policy.is_volatile());
                let (shard, db) = drawn?;
                let found = self.sample(entered, settings, now, shard, db);
                if found == 0 {
                    self.tables.recount();
                }
                seen += found;
            }
            while let Some(candidate) = self.pool.take() {
                let freed = evict(worker, entered, settings, now, &candidate);
                if freed.is_some() {
                    return freed;
                }
            }
        }
    }

    /// Offers some entries of a table to the pool, and says how many.
    fn sample(
        &mut self,
        entered: &Entered<'static>,
        settings: &Settings,
        now: i64,
        shard: usize,
        db: usize,
    ) -> u32 {
        let volatile = settings.maxmemory_policy.is_volatile();
        let mut seen = 0;
        let mut each = |entry: &Entry| {
            seen += 1;
            let Some(score) = score(settings, now, entry) else { return };
            if self.pool.admits(score) {
                let (hash, key) = (hash(entry.key()), SmallVec::from_slice(entry.key()));
                self.pool.offer(Candidate { score, shard, db, hash, key });
            }
        };
        let mut unit = entered.unit(&[], now, Listeners::NONE);
        unit.visit(shard, |shard| {
            shard.table(db).sample(crate::random::next(), volatile, &mut each);
        });
        seen
    }
}

/// Evicts a candidate, unless it is gone or has been used since. Returns the bytes that it had.
fn evict(
    worker: &Worker,
    entered: &Entered<'static>,
    settings: &Settings,
    now: i64,
    candidate: &Candidate,
) -> Option<usize> {
    let server = worker.server;
    let env = worker.env(settings);
    let key = Key { hash: candidate.hash, ..Key::new(&candidate.key) };
    let mut unit = entered.unit(&[key], now, server.listeners(settings));
    let position = unit.find(candidate.db, &key)?;
    let is_random = matches!(
        settings.maxmemory_policy,
        MaxmemoryPolicy::AllkeysRandom | MaxmemoryPolicy::VolatileRandom
    );
    let entry = unit.table(candidate.db, key.slot).get(position);
    match score(settings, now, entry) {
        Some(current) if is_random || current >= candidate.score => {}
        _ => return None,
    }
    let began = LatencyMonitor::begin(settings);
    let entry = unit.remove(candidate.db, &key, position, Reason::Evicted);
    let freed = entry.memory(SIZE_SAMPLES);
    worker.stats().evicted_keys.add(1);
    server.lazy_free.entry(entry);
    server.latency.end(settings, LatencyEvent::EvictionDel, began);
    command::serve_ready(&env, &mut unit);
    command::release(&env, &mut unit);
    Some(freed)
}

/// How well the policy can do without an entry; `None` if it must stay.
fn score(settings: &Settings, now: i64, entry: &Entry) -> Option<u64> {
    let policy = settings.maxmemory_policy;
    if policy.is_volatile() && entry.expiry().is_none() {
        return None;
    }
    Some(match policy {
        MaxmemoryPolicy::NoEviction => return None,
        MaxmemoryPolicy::AllkeysLru | MaxmemoryPolicy::VolatileLru => {
            access::idle(now, entry.access()).into()
        }
        MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu => {
            (u8::MAX - access::frequency(settings, now, entry.access())).into()
        }
        MaxmemoryPolicy::AllkeysRandom | MaxmemoryPolicy::VolatileRandom => crate::random::next(),
        MaxmemoryPolicy::VolatileTtl => i64::MAX.abs_diff(entry.expiry()?),
    })
}

/// How long one command is held up, by `maxmemory-eviction-tenacity`; `None` is as long as it takes.
/// Up to the default of 10 it grows evenly to half a millisecond, and then by 15 % with each step.
fn patience(tenacity: u32) -> Option<Duration> {
    let step = Duration::from_micros(50);
    match tenacity {
        0..=10 => Some(step * tenacity),
        11..100 => Some((step * 10).mul_f64(1.15f64.powi(tenacity as i32 - 10))),
        _ => None,
    }
}

/// Evicts what is asked for by [`Eviction::start`], for ever: on one worker, between its clients'
/// requests.
pub async fn run(worker: Rc<Worker>) {
    let server = worker.server;
    loop {
        server.eviction.more.notified().await;
        loop {
            let now = worker.refresh_clock();
            let settings = worker.settings();
            if settings.maxmemory == 0 || server.pause.current(now).is_some() {
                break;
            }
            let room = {
                let entered = server.keyspace.enter_when_free(worker.index).await;
                worker.make_room(&entered, &settings, now)
            };
            if room != Room::Later {
                break;
            }
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::entry::Value;

    #[test]
    fn a_command_waits_as_long_as_the_tenacity_says() {
        let patience = |tenacity| patience(tenacity).map(|patience| patience.as_micros());
        assert_eq!([0, 1, 5, 10].map(patience), [0, 50, 250, 500].map(Some));
        assert_eq!([11, 20].map(patience), [575, 2022].map(Some));
        assert!(patience(99) > Some(100_000_000));
        assert_eq!(patience(100), None);
    }

    #[test]
    fn each_policy_has_its_order() {
        let now = 1_700_000_000_000;
        let score = |policy, expiry, access: fn(&Settings, i64) -> u32| {
            let settings = Settings { maxmemory_policy: policy, ..Settings::default() };
            let mut entry = Entry::new(b"key", Value::Int(1), expiry);
            entry.set_access(access(&settings, now));
            super::score(&settings, now, &entry)
        };
        let old = |settings: &Settings, now| access::first(settings, now - 3_600_000);
        for (policy, volatile) in
            [(MaxmemoryPolicy::AllkeysLru, false), (MaxmemoryPolicy::VolatileLru, true)]
        {
            assert!(score(policy, Some(1), old) > score(policy, Some(1), access::first));
            assert_eq!(score(policy, None, old).is_none(), volatile);
        }
        let used = |settings: &Settings, now| {
            (0..1000)
                .fold(access::first(settings, now), |used, _| access::again(settings, now, used))
        };
        for (policy, volatile) in
            [(MaxmemoryPolicy::AllkeysLfu, false), (MaxmemoryPolicy::VolatileLfu, true)]
        {
            assert!(score(policy, Some(1), access::first) > score(policy, Some(1), used));
            assert_eq!(score(policy, None, used).is_none(), volatile);
        }
        let ttl = |at| score(MaxmemoryPolicy::VolatileTtl, at, access::first);
        assert!(ttl(Some(now)) > ttl(Some(now + 1)) && ttl(Some(0)) > ttl(Some(i64::MAX)));
        assert_eq!(ttl(None), None);
        assert!(score(MaxmemoryPolicy::AllkeysRandom, None, access::first).is_some());
        assert_eq!(score(MaxmemoryPolicy::VolatileRandom, None, access::first), None);
        assert_eq!(score(MaxmemoryPolicy::NoEviction, Some(1), access::first), None);
    }
}
