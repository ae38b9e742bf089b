//! A timer that is a file descriptor.
//!
//! An event loop that keeps timers reads the clock at every turn, which in a server is for nearly every
//! request. The timers here are rare and coarse, so they are left to the kernel.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::event_loop::{Interest, Source};

/// Wakes a task after a while. It belongs to the event loop or runtime on which it was made.
pub struct Alarm {
    timer: Source<OwnedFd>,
}

impl Alarm {
    /// # Errors
    /// Where no more files can be opened.
    pub fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Alarm { timer: Source::new(timer, Interest::Read)? })
    }

    /// Rings once, `after` from now; whatever was set before is forgotten.
    pub fn set(&self, after: Duration) {
        // Zero would switch it off.
        let after = after.max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: after.try_into().expect("no time is that long"),
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)
            .expect("a timer takes any time that is not negative");
    }

    /// Waits until it rings.
    pub fn poll_ring(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let ready = ready!(self.timer.poll_readable(cx));
            ready.expect("an alarm lives no longer than its runtime");
            if rustix::io::read(self.timer.get_ref(), &mut [0; 8]).is_ok() {
                return Poll::Ready(());
            }
            self.timer.clear_readable();
        }
    }

    /// Waits for `time`.
    pub async fn sleep(&self, time: Duration) {
        self.set(time);
        std::future::poll_fn(|cx| self.poll_ring(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(test);
    }

    #[test]
    fn it_rings_after_its_time_again_and_again() {
        run(async {
            let alarm = Alarm::new().unwrap();
            for ms in [0, 5, 1] {
                let (started, time) = (Instant::now(), Duration::from_millis(ms));
                alarm.sleep(time).await;
                assert!(started.elapsed() >= time);
            }
        });
    }

    #[test]
    fn a_new_time_replaces_the_old_one() {
        run(async {
            let alarm = Alarm::new().unwrap();
            alarm.set(Duration::from_secs(1000));
            alarm.sleep(Duration::from_millis(1)).await;
            // One that has rung and was not waited for is silent once it is set again.
            alarm.set(Duration::ZERO);
            std::thread::sleep(Duration::from_millis(5));
            let started = Instant::now();
            alarm.sleep(Duration::from_millis(20)).await;
            assert!(started.elapsed() >= Duration::from_millis(20));
        });
    }
}
