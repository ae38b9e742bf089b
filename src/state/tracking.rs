//! Client-side caching: telling clients that keys have changed which they may have cached.
//!
//! Keys that clients have read stand in the shards ([`Tracker`]), prefixes that they have asked for here.
//! An invalidation is sent after its unit has released its locks and before the unit's reply is: a client
//! that has the reply of a write knows that all other clients were told. A client that reads a key is
//! listed there under the lock under which it reads, and its session sends what is in its outbox after the
//! replies of its turn: so an invalidation follows the reply that it is about.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{ClientRecord, Clients, OutboxClass, OutboxSender, Push};
use crate::keyspace::{Invalidation, Tracker};
use crate::resp::{Protocol, Reply};

/// The channel in which RESP2 clients are told.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// Whom a [`Tracker`] tells, and how.
pub struct TrackingTarget {
    pub client: Arc<ClientRecord>,
    /// The id of the client that is told in its place; 0 for none.
    pub redirect: AtomicU64,
    /// It is not told of what it changes itself.
    pub noloop: AtomicBool,
    /// The client that was to be told in its place is gone.
    pub broken: AtomicBool,
}

impl TrackingTarget {
    /// The target of a tracker.
    pub fn of(tracker: &Tracker) -> &TrackingTarget {
        tracker.target.downcast_ref().expect("trackers are made here alone")
    }

    /// A tracker for a client.
    pub fn tracker(client: &Arc<ClientRecord>) -> Arc<Tracker> {
        let target = TrackingTarget {
            client: client.clone(),
            redirect: AtomicU64::new(0),
            noloop: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        };
        Tracker::new(client.id, Box::new(target))
    }
}

/// Keys that a thread's calls have changed, for clients that have asked for all changes of keys with a
/// prefix: they are told once for many calls, but before the replies of those calls are sent.
#[derive(Default)]
pub struct ChangedKeys(RefCell<BTreeSet<Box<[u8]>>>);

impl ChangedKeys {
    pub fn extend(&self, keys: Vec<Box<[u8]>>) {
        self.0.borrow_mut().extend(keys);
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// The clients that track keys.
#[derive(Default)]
pub struct Tracking {
    /// By client id.
    active: Mutex<BTreeMap<u64, Arc<Tracker>>>,
    count: AtomicUsize,
    /// The prefixes whose keys' changes are broadcast, and the clients that have asked for each.
    prefixes: Mutex<BTreeMap<Box<[u8]>, Vec<Arc<Tracker>>>>,
    /// Whether the shards note all changes. Held while that is switched.
    broadcasts: Mutex<bool>,
}

impl Tracking {
    /// A client begins to track keys: those that it reads, or others alone.
    pub fn begin(&self, tracker: &Arc<Tracker>, reads: bool) {
        tracker.begin(reads);
        let mut active = self.active.lock();
        active.insert(tracker.id, tracker.clone());
        self.count.store(active.len(), Ordering::Relaxed);
    }

    /// A client no longer tracks keys, and has asked for `prefixes` until now.
    pub fn end<'p>(&self, tracker: &Arc<Tracker>, prefixes: impl Iterator<Item = &'p [u8]>) {
        tracker.end();
        let mut active = self.active.lock();
        active.remove(&tracker.id);
        self.count.store(active.len(), Ordering::Relaxed);
        drop(active);
        let mut all = self.prefixes.lock();
        for prefix in prefixes {
            let Some(clients) = all.get_mut(prefix) else { continue };
            clients.retain(|other| !Arc::ptr_eq(other, tracker));
            if clients.is_empty() {
                all.remove(prefix);
            }
        }
    }

    /// A client asks for the changes of all keys with a prefix, which it has not done yet.
    pub fn add_prefix(&self, prefix: &[u8], tracker: &Arc<Tracker>) {
        self.prefixes.lock().entry(prefix.into()).or_default().push(tracker.clone());
    }

    /// Has `switch` tell the shards to note all changes, or no longer to if nobody asks for prefixes, unless
    /// they do so already. The calling thread must hold no shard, or all.
    pub fn switch_broadcasts(&self, on: bool, switch: impl FnOnce(bool)) {
        let mut broadcasts = self.broadcasts.lock();
        if *broadcasts != on && (on || self.prefixes() == 0) {
            switch(on);
            *broadcasts = on;
        }
    }

    /// Clients that track keys.
    pub fn clients(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Prefixes that clients have asked for.
    pub fn prefixes(&self) -> usize {
        self.prefixes.lock().len()
    }

    /// Tells the clients that keys have changed, by a call of the client `by` if that is a client's.
    pub fn invalidate(
        &self,
        invalidation: &Invalidation,
        by: Option<u64>,
        clients: &Clients,
        which: Which,
        sender: &mut OutboxSender<'_>,
    ) {
        let mut post = Post { clients, sender };
        match invalidation {
            Invalidation::Changed(key, trackers) | Invalidation::Forgotten(key, trackers) => {
                let is_change = matches!(invalidation, Invalidation::Changed(..));
                let mut message = None;
                for tracker in trackers.iter().filter(|tracker| which.includes(tracker, by)) {
                    let message =
                        message.get_or_insert_with(|| Message::of(std::iter::once(&**key)));
                    if !(is_change && is_noloop(tracker, by)) {
                        post.tell(tracker, message);
                    }
                }
            }
            Invalidation::All => {
                let trackers: Vec<_> = self.active.lock().values().cloned().collect();
                for tracker in trackers.iter().filter(|tracker| which.includes(tracker, by)) {
                    post.tell(tracker, &Message::all_keys(tracker));
                }
            }
        }
    }

    /// Tells those who have asked for prefixes of the changed keys that have them, and forgets these. They
    /// were changed by calls of `by` if that is a client.
    #[cold]
    pub fn broadcast(
        &self,
        changed: &ChangedKeys,
        by: Option<&ClientRecord>,
        clients: &Clients,
        sender: &mut OutboxSender<'_>,
    ) {
        let changed = changed.0.take();
        let by = by.map(|by| by.id);
        let mut post = Post { clients, sender };
        for (prefix, trackers) in self.prefixes.lock().iter() {
            let from = changed.range::<[u8], _>((Bound::Included(&**prefix), Bound::Unbounded));
            let keys: Vec<&[u8]> =
                from.map(|key| &**key).take_while(|key| key.starts_with(prefix)).collect();
            if !keys.is_empty() {
                let message = Message::of(keys.into_iter());
                let told = trackers.iter().filter(|tracker| !is_noloop(tracker, by));
                told.for_each(|tracker| post.tell(tracker, &message));
            }
        }
    }
}

/// Whether the change is the client's own, and it does not want to be told of such.
fn is_noloop(tracker: &Tracker, by: Option<u64>) -> bool {
    by == Some(tracker.id) && TrackingTarget::of(tracker).noloop.load(Ordering::Relaxed)
}

/// Which clients are told of an invalidation: the one whose call it was is told after the others, at the end
/// of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Others,
    Own,
}

impl Which {
    fn includes(self, tracker: &Tracker, by: Option<u64>) -> bool {
        (by == Some(tracker.id)) == (self == Which::Own)
    }
}

/// An invalidation in its two forms.
struct Message {
    push: Push,
    in_channel: Push,
}

impl Message {
    fn of<'k>(keys: impl ExactSizeIterator<Item = &'k [u8]> + Clone) -> Message {
        let write = |out: &mut Reply<'_>| {
            out.array(keys.len());
            keys.clone().for_each(|key| out.bulk(key));
        };
        Message::encode(write)
    }

    /// All keys: null, in the words of the tracking client's protocol, whoever is told.
    fn all_keys(tracker: &Tracker) -> Message {
        let protocol = match TrackingTarget::of(tracker).client.is_resp3() {
            true => Protocol::Resp3,
            false => Protocol::Resp2,
        };
        Message::encode(|out| {
            out.protocol = protocol;
            out.null();
        })
    }

    fn encode(write: impl Fn(&mut Reply<'_>)) -> Message {
        let push = Push::encode(2, |out| {
            out.bulk(b"invalidate");
            write(out);
        });
        let in_channel = Push::encode(3, |out| {
            out.bulk(b"message");
            out.bulk(CHANNEL);
            write(out);
        });
        Message { push, in_channel }
    }
}

/// What is needed to tell clients.
struct Post<'a, 'l> {
    clients: &'a Clients,
    sender: &'a mut OutboxSender<'l>,
}

impl Post<'_, '_> {
    fn tell(&mut self, tracker: &Tracker, message: &Message) {
        if !tracker.is_active() {
            return;
        }
        let target = TrackingTarget::of(tracker);
        match target.redirect.load(Ordering::Relaxed) {
            0 if target.client.is_resp3() => self.sender.send(&target.client, &message.push),
            // RESP2 has no pushes: another client is to be told in its place.
            0 => {}
            id => match self.clients.get(id) {
                Some(other) if other.is_resp3() => self.sender.send(&other, &message.push),
                Some(other) if other.class() == OutboxClass::Pubsub => {
                    self.sender.send(&other, &message.in_channel);
                }
                Some(_) => {}
                None => self.note_broken(target, id),
            },
        }
    }

    fn note_broken(&mut self, target: &TrackingTarget, id: u64) {
        target.broken.store(true, Ordering::Relaxed);
        if target.client.is_resp3() {
            let push = Push::encode(2, |out| {
                out.bulk(b"tracking-redir-broken");
                out.integer(id as i64);
            });
            self.sender.send(&target.client, &push);
        }
    }
}
