//! The idle policy: how long a thread polls before it sleeps.
//!
//! Sleeping and being woken costs the thread 4 to 7 µs of processor time, and as much of the client that
//! wakes it, which by then may already be waiting. So an idle thread polls for a while first. An idle period
//! begins with a poll that finds nothing, and ends with a poll that finds something or with a sleep.
//!
//! There are two sources to poll, each with its own limit:
//!
//! - Sockets ([`AdaptivePolling`]): a number of polls that depends on how the last idle period ended. A
//!   poll is a system call, a tenth of the cost of a sleep or less.
//! - RDMA completion queues ([`TimedPolling`]): the time that `rdma-poll-us` gives. A poll reads memory.
//!
//! The thread sleeps when both have reached their limits: while the task that polls completion queues goes on,
//! it is ready, and an event loop with a ready task is not idle. [`BUSY_TURNS`] and [`QUEUE_POLLS`] say how
//! often each source is polled while the other has work.

use std::cell::Cell;
#[cfg(feature = "rdma")]
use std::time::{Duration, Instant};

/// Turns of the event loop from one poll of the sockets to the next while tasks keep it busy without them.
pub(crate) const BUSY_TURNS: u32 = 8;

/// Polls of empty completion queues from one poll of the sockets to the next.
#[cfg(feature = "rdma")]
pub(crate) const QUEUE_POLLS: u32 = 256;

/// Polls of the sockets in an idle period, besides the one that began it, if a poll ended the last one. They
/// take as long as three to six sleeps.
const MANY: u32 = 64;

/// Polls of the sockets in an idle period, besides the one that began it, if the last one ended in a sleep.
const FEW: u32 = 1;

/// The decision after a poll that found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Poll,
    Sleep,
}

/// The limit for sockets.
///
/// Idle periods come in runs. If a poll ended the last one, clients are about to send, and one of the next
/// polls is likely to end this one: there are many. A sleep means that the clients are busy with something
/// else, and is followed by another sleep more often than not, since the work that piles up until the thread
/// runs is done at once: then there is one more poll, enough to notice that the load has changed. Compared
/// with polling for half of the time that a request takes (50 clients, one request at a time), this
/// takes 2 % less processor time where a request is short and a sixth less where it is long, at the same
/// throughput.
#[derive(Default)]
pub(crate) struct AdaptivePolling {
    /// A poll ended the last idle period.
    polls_pay: Cell<bool>,
    /// Polls of this idle period.
    polls: Cell<u32>,
}

impl AdaptivePolling {
    /// Decides after a poll that found nothing.
    pub(crate) fn found_nothing(&self) -> Next {
        let limit = if self.polls_pay.get() { MANY } else { FEW };
        if self.polls.get() < limit {
            self.polls.set(self.polls.get() + 1);
            return Next::Poll;
        }
        self.polls.set(0);
        self.polls_pay.set(false);
        Next::Sleep
    }

    /// A poll has ended the idle period.
    pub(crate) fn found(&self) {
        self.polls.set(0);
        self.polls_pay.set(true);
    }
}

/// The limit for completion queues.
#[cfg(feature = "rdma")]
#[derive(Default)]
pub(crate) struct TimedPolling {
    /// When the idle period began.
    idle_since: Option<Instant>,
}

#[cfg(feature = "rdma")]
impl TimedPolling {
    /// Decides after polls that found nothing. `limit_us` is the longest time to poll, in microseconds; 0
    /// sleeps at once, and a negative number never sleeps.
    pub(crate) fn found_nothing(&mut self, limit_us: i64) -> Next {
        if limit_us <= 0 {
            self.idle_since = None;
            return if limit_us < 0 { Next::Poll } else { Next::Sleep };
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        let limit = Duration::from_micros(limit_us.unsigned_abs());
        if since.elapsed() < limit { Next::Poll } else { Next::Sleep }
    }

    /// A poll has found a completion.
    pub(crate) fn found(&mut self) {
        self.idle_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Polls that find nothing until the thread sleeps.
    fn polls(polling: &AdaptivePolling) -> u32 {
        let mut polls = 0;
        while polling.found_nothing() == Next::Poll {
            polls += 1;
        }
        polls
    }

    #[test]
    fn sockets_are_polled_often_only_after_an_idle_period_that_a_poll_ended() {
        let polling = AdaptivePolling::default();
        assert_eq!(polls(&polling), FEW);
        polling.found();
        assert_eq!(polls(&polling), MANY);
        assert_eq!(polls(&polling), FEW);
        // Polls before one that found something do not count for the next idle period.
        assert_eq!(polling.found_nothing(), Next::Poll);
        polling.found();
        assert_eq!(polls(&polling), MANY);
    }

    #[cfg(feature = "rdma")]
    #[test]
    fn completion_queues_are_polled_for_the_time_that_is_configured() {
        let mut polling = TimedPolling::default();
        assert_eq!(polling.found_nothing(0), Next::Sleep);
        assert_eq!(polling.found_nothing(-1), Next::Poll);
        assert_eq!(polling.found_nothing(i64::MAX), Next::Poll);
        // The idle period goes on, whatever its limit is now.
        while polling.idle_since.expect("it is idle").elapsed() < Duration::from_micros(1) {}
        assert_eq!(polling.found_nothing(1), Next::Sleep);
        polling.found();
        assert_eq!(polling.found_nothing(1_000_000_000), Next::Poll);
    }
}
