//! Active expiry: removes what has expired and nobody asks for.
//!
//! Every worker looks after its share of the shards, on its own thread, between its clients'
//! requests. It works in slices of tens of microseconds, and `hz` times a second at the most; while
//! nothing is due it sleeps until something is.

use std::rc::Rc;
use std::time::{Duration, Instant};

use verbena_transport::Alarm;
use verbena_transport::event_loop::yield_now;

use super::Worker;
use crate::command;
use crate::keyspace::{Entered, NEVER, Swept};
use crate::state::{LatencyEvent, Switch};

/// The longest time without a break for clients.
const SLICE: Duration = Duration::from_micros(30);

/// Entries that are visited in one shard before the task yields, where much has expired.
const ENTRIES_PER_VISIT: usize = 40;

/// What `active-expire-effort` stands for. An effort of 1 is what Valkey makes by default: samples of
/// twenty keys, a quarter of the time, a tenth of the keys tolerated; each step is a little more.
struct Effort {
    /// Entries that a cycle looks at in a shard that is due, before it knows whether that is worth it.
    sample: usize,
    /// A cycle goes on in a shard as long as at least this part of the entries seen has expired, in
    /// percent. So less than this part of the entries waits for its removal.
    worth: usize,
    /// A cycle takes at most this part of the time, in percent.
    share: u32,
}

impl Effort {
    fn new(effort: u32) -> Effort {
        let more = effort.clamp(1, 10) - 1;
        Effort { sample: 20 + 5 * more as usize, worth: 10 - more as usize, share: 25 + 2 * more }
    }

    fn is_worth_it(&self, swept: Swept) -> bool {
        swept.buckets > 0 && swept.expired * 100 >= swept.volatile * self.worth
    }
}

/// The longest sleep while something has an expiry: should the system's clock be set forward, things
/// expire with it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Runs a worker's expiry cycles for ever.
pub async fn run(worker: Rc<Worker>) {
    let schedule = worker.server.keyspace.schedule();
    let timer = Alarm::new().expect("the system has room for one more timer");
    let mut last_cycle: Option<Instant> = None;
    loop {
        let settings = worker.settings();
        let interval = Duration::from_millis(1000 / u64::from(settings.hz.clamp(1, 500)));
        let pause = last_cycle.map_or(Duration::ZERO, |at| interval.saturating_sub(at.elapsed()));
        let now = worker.refresh_clock();
        let due = schedule.earliest(worker.index);
        let wait = Duration::from_millis(due.saturating_sub(now).max(0) as u64);
        if pause.max(wait) > Duration::ZERO {
            // What becomes due during the pause between two cycles need not end it.
            let alarm = if wait > pause { due } else { i64::MIN };
            let timer = async {
                if due == NEVER && wait > pause {
                    std::future::pending::<()>().await;
                }
                timer.sleep(wait.min(LONGEST_SLEEP).max(pause)).await;
            };
            schedule.wait(worker.index, alarm, timer).await;
            continue;
        }
        last_cycle = Some(Instant::now());
        let server = worker.server;
        let is_on = |switch| server.switches.is_on(switch);
        if is_on(Switch::ActiveExpiry)
            && is_on(Switch::PeriodicTasks)
            && !settings.import_mode
            && server.pause.current(now).is_none()
        {
            let effort = Effort::new(settings.active_expire_effort);
            let worked = cycle(&worker, now, effort, interval).await;
            let nanoseconds = u64::try_from(worked.as_nanos()).unwrap_or(u64::MAX);
            worker.stats().expire_cycle_time.add(nanoseconds);
            server.latency.note(&settings, LatencyEvent::ExpireCycle, worked);
        }
    }
}

/// Visits every shard that is due, and those where much has expired again, for at most a part of
/// `interval`, which is the time between two cycles. Returns how long it has worked.
async fn cycle(worker: &Worker, now: i64, effort: Effort, interval: Duration) -> Duration {
    let schedule = worker.server.keyspace.schedule();
    let is_due = |shard: &usize| schedule.due(*shard) <= now;
    let mut shards: Vec<usize> = schedule.shards_of(worker.index).filter(is_due).collect();
    let mut worked = Duration::ZERO;
    let mut entries = effort.sample;
    while !shards.is_empty() {
        let mut again = Vec::new();
        let mut todo = shards.into_iter();
        while todo.len() > 0 {
            let entered = worker.server.keyspace.enter_when_free(worker.index).await;
            worked += slice(worker, entered, now, &effort, entries, &mut todo, &mut again);
            if worked >= interval * effort.share / 100 {
                worker.stats().expire_cycles_cut.add(1);
                return worked;
            }
            yield_now().await;
        }
        shards = again;
        entries = ENTRIES_PER_VISIT;
    }
    worked
}

/// Visits shards until the slice is over; those where it is worth going on are added to `again`.
fn slice(
    worker: &Worker,
    entered: Entered<'static>,
    now: i64,
    effort: &Effort,
    entries: usize,
    todo: &mut impl Iterator<Item = usize>,
    again: &mut Vec<usize>,
) -> Duration {
    let started = Instant::now();
    let server = worker.server;
    let settings = worker.settings();
    let listeners = server.listeners(&settings);
    for shard in todo {
        let env = worker.env(&settings);
        let mut unit = entered.unit_of_shards(&shard.into(), now, listeners);
        let free = |entry| server.lazy_free.entry(entry);
        let swept = unit.expire_some(shard, entries, free);
        // Of fields Valkey counts as changes only those that a command removes.
        unit.changes += unit.expired_keys;
        command::serve_ready(&env, &mut unit);
        command::release(&env, &mut unit);
        if effort.is_worth_it(swept) {
            again.push(shard);
        }
        if started.elapsed() >= SLICE {
            break;
        }
    }
    started.elapsed()
}
