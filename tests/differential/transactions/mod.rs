//! Transactions of several connections at once, interleaved at random: the replies of verbena-server
//! compared with those of the real Valkey, step by step.

mod group;
mod random;

use std::time::{Duration, Instant};

use self::group::{Group, Tally};
use self::random::Interleavings;
use crate::common::Server;
use crate::rounds::Rounds;
use crate::{OPTIONS, setting};

/// Steps that follow from each seed.
const STEPS: usize = 25_000;

/// The subject has a worker for each connection; the oracle's replies do not depend on that.
fn group() -> Group {
    let options = [OPTIONS, &["--io-threads", "4"]].concat();
    match setting::<bool>("SELF") {
        Some(true) => Group::new(Server::oracle(OPTIONS), Server::oracle(OPTIONS)),
        _ => Group::new(Server::oracle(OPTIONS), Server::start_mirrored(&options)),
    }
}

fn compare(seed: u64, steps: usize, time: Option<Duration>) {
    let started = Instant::now();
    let deadline = time.map(|time| started + time);
    let group = group();
    let generator = Interleavings::of_subject(&group);
    let mut rounds = Rounds::new(group, generator);
    let mut next = seed;
    loop {
        rounds.run(next, steps, deadline);
        next += 1;
        if deadline.is_none_or(|deadline| Instant::now() >= deadline) || rounds.has_enough() {
            break;
        }
    }
    let (tally, all, steps) = (rounds.bench().tally, rounds.rounds(), rounds.steps());
    println!("{steps} steps in {:.0?}: {tally:?}", started.elapsed());
    rounds.bench().replayed.assert_enough(steps);
    rounds.finish();
    let void = tally.void_rounds + tally.known_differences;
    assert!(void * 2 <= all, "of {all} rounds too many were void: {tally:?}");
    let Tally { executed, aborted, discarded, served, .. } = tally;
    for count in [executed, aborted, discarded, served] {
        assert!(count * 500 >= steps, "something hardly happened in {steps} steps: {tally:?}");
    }
}

/// `scripts/differential --transactions` sets other seeds, steps and times.
#[test]
fn random_transactions_get_the_replies_of_valkey() {
    let minutes = setting("MINUTES").map(|minutes: f64| Duration::from_secs_f64(minutes * 60.0));
    compare(setting("SEED").unwrap_or(1), setting("STEPS").unwrap_or(STEPS), minutes);
}

// As tests of their own they run at the same time.

#[test]
fn interleaved_transactions_of_seed_2() {
    compare(2, STEPS, None);
}

#[test]
fn interleaved_transactions_of_seed_3() {
    compare(3, STEPS, None);
}

#[test]
fn interleaved_transactions_of_seed_4() {
    compare(4, STEPS, None);
}
