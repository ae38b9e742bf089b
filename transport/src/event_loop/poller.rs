//! Which descriptors are ready: epoll, edge-triggered, and a slot for each descriptor.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Waker};

use rustix::event::epoll::{CreateFlags, Event, EventData, EventFlags};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use slab::Slab;

/// Descriptors that one call reports.
const EVENTS: usize = 256;

/// Stands for the descriptor by which other threads wake this one.
const BELL: u64 = u64::MAX;

const NO_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const NO_EVENT: Event = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };

pub(super) enum Wait {
    /// Not at all.
    Look,
    /// Until something is ready.
    Sleep,
}

pub(super) struct Poller {
    epoll: OwnedFd,
    slots: RefCell<Slab<Rc<Slot>>>,
    events: RefCell<Box<[Event]>>,
    activity: Activity,
}

/// What has happened since it was last asked for.
#[derive(Default)]
pub(super) struct Activity {
    /// How often it was asked for.
    period: Cell<u32>,
    events: Cell<u32>,
    descriptors: Cell<u32>,
}

impl Activity {
    /// Events, and how many descriptors had any.
    pub(super) fn take(&self) -> (u32, u32) {
        self.period.set(self.period.get().wrapping_add(1));
        (self.events.take(), self.descriptors.take())
    }

    #[inline]
    fn add(&self, slot: &Slot) {
        self.events.set(self.events.get().saturating_add(1));
        let period = self.period.get();
        if slot.period.replace(period) != period {
            self.descriptors.set(self.descriptors.get() + 1);
        }
    }
}

/// One descriptor, in one direction each.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) read: Readiness,
    pub(super) write: Readiness,
    /// Of its last event; see [`Activity`].
    period: Cell<u32>,
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
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            slots: RefCell::default(),
            events: RefCell::new(vec![NO_EVENT; EVENTS].into()),
            activity: Activity::default(),
        })
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Has every write to `bell` end a [`wait`](Self::wait).
    pub(super) fn add_bell(&self, bell: &OwnedFd) -> io::Result<()> {
        // Edge-triggered, so it need not be read.
        let flags = EventFlags::IN | EventFlags::ET;
        Ok(epoll::add(&self.epoll, bell, EventData::new_u64(BELL), flags)?)
    }

    /// Watches a descriptor; the slot is its place here.
    pub(super) fn add(
        &self,
        fd: BorrowedFd<'_>,
        flags: EventFlags,
    ) -> io::Result<(usize, Rc<Slot>)> {
        let slot = Rc::new(Slot::default());
        let place = self.slots.borrow_mut().insert(slot.clone());
        let data = EventData::new_u64(place as u64);
        if let Err(error) = epoll::add(&self.epoll, fd, data, flags | EventFlags::ET) {
            self.slots.borrow_mut().remove(place);
            return Err(error.into());
        }
        Ok((place, slot))
    }

    /// Watches it no longer.
    pub(super) fn remove(&self, place: usize, fd: impl AsFd) {
        // Only what is being watched is removed, so this can't fail; and if it did, there would be
        // nothing left to undo.
        let _ = epoll::delete(&self.epoll, fd);
        self.slots.borrow_mut().remove(place);
    }

    /// Notes what has become ready and wakes who waits for it. Says whether anything has.
    pub(super) fn wait(&self, wait: Wait) -> io::Result<bool> {
        let timeout = match wait {
            Wait::Look => Some(&NO_TIME),
            Wait::Sleep => None,
        };
        let mut events = self.events.borrow_mut();
        let count = match epoll::wait(&self.epoll, &mut events[..], timeout) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let slots = self.slots.borrow();
        for event in &events[..count] {
            // Nobody removes a slot between the call and this, so the place is the right one.
            let Some(slot) = slots.get(event.data.u64() as usize) else { continue };
            self.activity.add(slot);
            let flags = event.flags;
            let failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            let ended = failed || flags.contains(EventFlags::RDHUP);
            if ended || flags.contains(EventFlags::IN) {
                slot.read.set(ended);
            }
            if failed || flags.contains(EventFlags::OUT) {
                slot.write.set(failed);
            }
        }
        Ok(count > 0)
    }
}
