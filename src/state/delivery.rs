//! Notices on their way to the clients that they concern: keyspace events, invalidations of cached keys,
//! and messages that a transaction has published.
//!
//! A unit queues its notices while it still holds its locks, so the queue has those of each key in the
//! order of its changes, whichever threads they come from. They are delivered after the locks are
//! released, by one thread at a time, and before the unit's own reply is sent: a client that has its
//! reply knows that all that it caused was handed to those who are to receive it. While nobody
//! subscribes, units record no events.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::tracking::Which;
use super::{ClientRecord, OutboxSender, Push, Server, SubscriptionKind};
use crate::config::KeyspaceEvents;
use crate::keyspace::{KeyspaceEvent, Notice};

/// Called with each event, on the thread that delivers it.
pub type Listener = Arc<dyn Fn(&KeyspaceEvent) + Send + Sync>;

/// A message that was published within a unit: its receivers at that time, and what each is sent.
pub type Published = Vec<(Arc<ClientRecord>, Push)>;

/// The notices of one unit.
struct Batch {
    notices: Vec<Notice>,
    /// The client whose unit it was.
    by: Option<u64>,
}

/// The queue of notices, and those within this process who listen to events.
#[derive(Default)]
pub struct Delivery {
    has_listeners: AtomicBool,
    listeners: ArcSwap<Vec<Listener>>,
    changes: Mutex<()>,
    queue: Mutex<VecDeque<Batch>>,
    /// Held by the thread that delivers.
    delivering: Mutex<()>,
}

impl Delivery {
    /// Has events reported to `listener`, of the classes that the settings name.
    pub fn listen(&self, listener: Listener) {
        let _changes = self.changes.lock();
        let mut all = Vec::clone(&self.listeners.load());
        all.push(listener);
        self.listeners.store(Arc::new(all));
        self.has_listeners.store(true, Ordering::Release);
    }

    /// Whether anything within this process listens to events.
    #[inline]
    pub fn has_listeners(&self) -> bool {
        self.has_listeners.load(Ordering::Relaxed)
    }

    /// Queues the notices of a unit of the client `by`, which must still hold its locks, and call
    /// [`Server::deliver`] when it has released them.
    #[cold]
    pub fn queue(&self, notices: Vec<Notice>, by: Option<u64>) {
        self.queue.lock().push_back(Batch { notices, by });
    }
}

impl Server {
    /// Delivers everything that is queued. The calling thread must hold no lock of the keyspace. Whatever
    /// it has queued is delivered when this returns, by this thread or by another.
    #[cold]
    pub fn deliver(&self, sender: &mut OutboxSender<'_>) {
        self.after_queued(sender, |_| ());
    }

    /// Delivers everything that is queued, and then what `work` does, before other threads deliver more.
    pub fn after_queued<'l, R>(
        &self,
        sender: &mut OutboxSender<'l>,
        work: impl FnOnce(&mut OutboxSender<'l>) -> R,
    ) -> R {
        let _delivering = self.delivery.delivering.lock();
        loop {
            let Some(batch) = self.delivery.queue.lock().pop_front() else { break };
            self.deliver_batch(batch, sender);
        }
        work(sender)
    }

    /// Puts the receivers that events have now in the events' place: subscriptions are about to change that
    /// these are to know nothing of.
    pub fn resolve_events(&self, notices: &mut [Notice]) {
        for notice in notices {
            if let Notice::Event(event, classes) = notice {
                self.delivery.listeners.load().iter().for_each(|listener| listener(event));
                let mut published = Published::new();
                announce(event, *classes, |channel, message| {
                    let kind = SubscriptionKind::Channel;
                    published.extend(self.pubsub.prepare(kind, channel, message));
                });
                *notice = Notice::Other(Box::new(published));
            }
        }
    }

    fn deliver_batch(&self, batch: Batch, sender: &mut OutboxSender<'_>) {
        let Batch { notices, by } = batch;
        let mut invalidations = Vec::new();
        for notice in notices {
            match notice {
                Notice::Event(event, classes) => {
                    self.delivery.listeners.load().iter().for_each(|listener| listener(&event));
                    if !self.pubsub.is_idle() {
                        announce(&event, classes, |channel, message| {
                            let kind = SubscriptionKind::Channel;
                            self.pubsub.publish(kind, channel, message, sender);
                        });
                    }
                }
                Notice::Other(published) => send_published(published, sender),
                Notice::Invalidation(invalidation) => {
                    let which = Which::Others;
                    self.tracking.invalidate(&invalidation, by, &self.clients, which, sender);
                    invalidations.push(invalidation);
                }
            }
        }
        if by.is_some() {
            for invalidation in &invalidations {
                self.tracking.invalidate(invalidation, by, &self.clients, Which::Own, sender);
            }
        }
    }
}

/// Calls `publish` with the channels of an event and its messages there.
fn announce(event: &KeyspaceEvent, classes: KeyspaceEvents, mut publish: impl FnMut(&[u8], &[u8])) {
    let KeyspaceEvent { db, name, key } = event;
    if classes.include_key_channels() {
        let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
        publish(&channel, name.as_bytes());
    }
    if classes.include_event_channels() {
        publish(format!("__keyevent@{db}__:{name}").as_bytes(), key);
    }
}

fn send_published(published: Box<dyn Any + Send>, sender: &mut OutboxSender<'_>) {
    let published: Box<Published> = published.downcast().expect("only PUBLISH has other notices");
    for (client, push) in *published {
        sender.send(&client, &push);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl;
    use crate::config::{OutputLimits, Settings};

    #[test]
    fn events_are_delivered_once_in_the_order_of_their_publication() {
        let settings = Settings { io_threads: 1, ..Settings::default() };
        let (server, _requests) = Server::new(settings, None, acl::Commands::new(Vec::new()));
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = seen.clone();
        server.delivery.listen(Arc::new(move |event| {
            sink.lock().push(String::from_utf8_lossy(&event.key).into_owned());
        }));
        // Stands for the lock of the events' key.
        let next = Arc::new(Mutex::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (next, seen) = (next.clone(), seen.clone());
                std::thread::spawn(move || {
                    let limits = OutputLimits::default();
                    for _ in 0..1000 {
                        let mut number = next.lock();
                        let own = *number;
                        let key = own.to_string().into_bytes().into();
                        let event = KeyspaceEvent { db: 0, name: "set", key };
                        let notices = vec![Notice::Event(event, KeyspaceEvents::default())];
                        server.delivery.queue(notices, None);
                        *number += 1;
                        drop(number);
                        server.deliver(&mut OutboxSender::new(&limits));
                        assert!(seen.lock().len() > own, "its own event has been delivered");
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let expected: Vec<String> = (0..4000).map(|number| number.to_string()).collect();
        assert_eq!(*seen.lock(), expected);
    }
}
