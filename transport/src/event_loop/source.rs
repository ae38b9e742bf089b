//! A descriptor that tasks wait for, on whatever runs on the thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use rustix::event::epoll::EventFlags;
use tokio::io::unix::AsyncFd;

use super::poller::{Readiness, Slot};
use super::run::EventLoop;

/// The readiness that a descriptor is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    ReadWrite,
}

/// A non-blocking descriptor, watched by the calling thread's event loop, or else by its tokio
/// runtime.
pub(crate) enum Source<T: AsFd> {
    Loop(Registered<T>),
    Tokio(AsyncFd<Descriptor<T>>),
}

/// A descriptor in an event loop.
pub(crate) struct Registered<T: AsFd> {
    io: T,
    event_loop: Rc<EventLoop>,
    place: usize,
    slot: Rc<Slot>,
}

/// Something with a descriptor that stays the same and open as long as it exists.
pub(crate) struct Descriptor<T>(T);

impl<T: AsFd> AsRawFd for Descriptor<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T: AsFd> Drop for Registered<T> {
    fn drop(&mut self) {
        self.event_loop.poller().remove(self.place, &self.io);
    }
}

impl<T: AsFd> Source<T> {
    /// Watches `io`, whose descriptor must stay the same as long as it exists.
    ///
    /// # Errors
    /// Where the system can't watch it, or has no room to.
    ///
    /// # Panics
    /// On a thread that has neither an event loop nor a tokio runtime.
    pub(crate) fn new(io: T, interest: Interest) -> io::Result<Source<T>> {
        let Some(event_loop) = EventLoop::current() else {
            let interest = match interest {
                Interest::Read => tokio::io::Interest::READABLE,
                Interest::ReadWrite => {
                    tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE
                }
            };
            // SAFETY: the caller promises that the descriptor stays the same; it is open, since it is
            // borrowed from `io`, which the result owns.
            let watched = unsafe { AsyncFd::register_with_interest(Descriptor(io), interest) };
            return Ok(Source::Tokio(watched?));
        };
        let flags = match interest {
            Interest::Read => EventFlags::IN | EventFlags::RDHUP,
            Interest::ReadWrite => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP,
        };
        let (place, slot) = event_loop.poller().add(io.as_fd(), flags)?;
        Ok(Source::Loop(Registered { io, event_loop, place, slot }))
    }

    #[inline]
    pub(crate) fn get_ref(&self) -> &T {
        match self {
            Source::Loop(registered) => &registered.io,
            Source::Tokio(watched) => &watched.get_ref().0,
        }
    }

    /// Waits until there may be something to read.
    #[inline]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Source::Loop(registered) => wait(&registered.slot.read, cx),
            Source::Tokio(watched) => {
                ready!(watched.poll_read_ready(cx))?.retain_ready();
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Everything was read: [`poll_readable`](Self::poll_readable) waits for more.
    #[inline]
    pub(crate) fn clear_readable(&self) {
        match self {
            Source::Loop(registered) => registered.slot.read.clear(),
            Source::Tokio(watched) => {
                let mut cx = Context::from_waker(Waker::noop());
                // No event is taken in on this thread between the read and this.
                if let Poll::Ready(Ok(mut guard)) = watched.poll_read_ready(&mut cx) {
                    guard.clear_ready();
                }
            }
        }
    }

    /// Waits until something may be written.
    #[inline]
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Source::Loop(registered) => wait(&registered.slot.write, cx),
            Source::Tokio(watched) => {
                ready!(watched.poll_write_ready(cx))?.retain_ready();
                Poll::Ready(Ok(()))
            }
        }
    }

    /// No more could be written: [`poll_writable`](Self::poll_writable) waits for room.
    #[inline]
    pub(crate) fn clear_writable(&self) {
        match self {
            Source::Loop(registered) => registered.slot.write.clear(),
            Source::Tokio(watched) => {
                let mut cx = Context::from_waker(Waker::noop());
                if let Poll::Ready(Ok(mut guard)) = watched.poll_write_ready(&mut cx) {
                    guard.clear_ready();
                }
            }
        }
    }
}

#[inline]
fn wait(readiness: &Readiness, cx: &Context<'_>) -> Poll<io::Result<()>> {
    if readiness.poll(cx) { Poll::Ready(Ok(())) } else { Poll::Pending }
}
