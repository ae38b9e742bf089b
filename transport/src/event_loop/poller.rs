//! Which descriptors are ready: epoll, edge-triggered, and a slot for each descriptor.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::task::{Context, Waker};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use slab::Slab;

/// Descriptors that one call reports.
const EVENTS: usize = 256;

/// Stands for the descriptor by which other threads wake this one.
const BELL: u64 = u64::MAX;

pub(super) enum Wait {
    /// Not at all.
    Look,
    /// Until something is ready.
    Sleep,
}

pub(super) struct Poller {
    epoll: Epoll,
    slots: RefCell<Slab<Rc<Slot>>>,
    events: RefCell<Box<[EpollEvent]>>,
}

/// One descriptor, in one direction each.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) read: Readiness,
    pub(super) write: Readiness,
}

/// Whether a descriptor is ready for one thing, and who waits for it.
#[derive(Default)]
pub(super) struct Readiness {
    ready: Cell<bool>,
    /// The peer has ended its side, or the descriptor has failed: it stays ready.
    ended: Cell<bool>,
    waits: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Readiness {
    /// Whether it is ready; if not, the task of `cx` is woken when it becomes so.
    #[inline]
    pub(super) fn poll(&self, cx: &Context<'_>) -> bool {
        if self.ready.get() {
            return true;
        }
        self.waits.set(true);
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        false
    }

    /// Everything was taken: not ready before the next event.
    #[inline]
    pub(super) fn clear(&self) {
        self.ready.set(self.ended.get());
    }

    #[inline]
    fn set(&self, ended: bool) {
        self.ready.set(true);
        if ended {
            self.ended.set(true);
        }
        if self.waits.replace(false)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }
}

impl Poller {
    pub(super) fn new() -> io::Result<Poller> {
        Ok(Poller {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            slots: RefCell::default(),
            events: RefCell::new(vec![EpollEvent::empty(); EVENTS].into()),
        })
    }

    /// Has every write to `bell` end a [`wait`](Self::wait).
    pub(super) fn add_bell(&self, bell: &EventFd) -> io::Result<()> {
        // Edge-triggered, so it need not be read.
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, BELL);
        Ok(self.epoll.add(bell, event)?)
    }

    /// Watches a descriptor; the slot is its place here.
    pub(super) fn add(
        &self,
        fd: BorrowedFd<'_>,
        flags: EpollFlags,
    ) -> io::Result<(usize, Rc<Slot>)> {
        let slot = Rc::new(Slot::default());
        let place = self.slots.borrow_mut().insert(slot.clone());
        let event = EpollEvent::new(flags | EpollFlags::EPOLLET, place as u64);
        if let Err(error) = self.epoll.add(fd, event) {
            self.slots.borrow_mut().remove(place);
            return Err(error.into());
        }
        Ok((place, slot))
    }

    /// Watches it no longer.
    pub(super) fn remove(&self, place: usize, fd: impl AsFd) {
        // Only what is being watched is removed, so this can't fail; and if it did, there would be
        // nothing left to undo.
        let _ = self.epoll.delete(fd);
        self.slots.borrow_mut().remove(place);
    }

    /// Notes what has become ready and wakes who waits for it. Says how many descriptors there were.
    pub(super) fn wait(&self, wait: Wait) -> io::Result<usize> {
        let timeout = match wait {
            Wait::Look => EpollTimeout::ZERO,
            Wait::Sleep => EpollTimeout::NONE,
        };
        let mut events = self.events.borrow_mut();
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let slots = self.slots.borrow();
        for event in &events[..count] {
            // Nobody removes a slot between the call and this, so the place is the right one.
            let Some(slot) = slots.get(event.data() as usize) else { continue };
            let flags = event.events();
            let failed = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
            let ended = failed || flags.contains(EpollFlags::EPOLLRDHUP);
            if ended || flags.contains(EpollFlags::EPOLLIN) {
                slot.read.set(ended);
            }
            if failed || flags.contains(EpollFlags::EPOLLOUT) {
                slot.write.set(failed);
            }
        }
        Ok(count)
    }
}
