//! Keyspace events on their way to those who have subscribed to them.
//!
//! A unit publishes its events while it still holds its locks, so the queue has the events of each key
//! in the order of its changes, whichever threads they come from. They are delivered after the locks are
//! released, by one thread at a time: the others leave theirs to it. While nobody subscribes, units
//! record no events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::keyspace::KeyspaceEvent;

/// Called with each event, on the thread that delivers it.
pub type Subscriber = Arc<dyn Fn(&KeyspaceEvent) + Send + Sync>;

/// The queue of events, and the subscribers.
#[derive(Default)]
pub struct Delivery {
    has_subscribers: AtomicBool,
    subscribers: ArcSwap<Vec<Subscriber>>,
    changes: Mutex<()>,
    queue: Mutex<VecDeque<Vec<KeyspaceEvent>>>,
    /// Held by the thread that delivers.
    delivering: Mutex<()>,
}

impl Delivery {
    pub fn subscribe(&self, subscriber: Subscriber) {
        let _changes = self.changes.lock();
        let mut all = Vec::clone(&self.subscribers.load());
        all.push(subscriber);
        self.subscribers.store(Arc::new(all));
        self.has_subscribers.store(true, Ordering::Release);
    }

    /// Whether anybody wants events.
    #[inline]
    pub fn has_subscribers(&self) -> bool {
        self.has_subscribers.load(Ordering::Relaxed)
    }

    /// Queues the events of a unit, which must still hold its locks, and call [`deliver`](Self::deliver)
    /// when it has released them.
    #[cold]
    pub fn publish(&self, events: Vec<KeyspaceEvent>) {
        self.queue.lock().push_back(events);
    }

    /// Delivers everything that is queued, unless another thread is doing so. The calling thread must
    /// hold no lock of the keyspace.
    #[cold]
    pub fn deliver(&self) {
        // A thread that adds to the queue after the last look at it finds `delivering` free.
        while !self.queue.lock().is_empty() {
            let Some(_delivering) = self.delivering.try_lock() else { return };
            let subscribers = self.subscribers.load();
            loop {
                let Some(events) = self.queue.lock().pop_front() else { break };
                for event in &events {
                    subscribers.iter().for_each(|subscriber| subscriber(event));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_delivered_once_in_the_order_of_their_publication() {
        let delivery = Arc::new(Delivery::default());
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = seen.clone();
        delivery.subscribe(Arc::new(move |event| {
            sink.lock().push(String::from_utf8_lossy(&event.key).into_owned());
        }));
        // Stands for the lock of the events' key.
        let next = Arc::new(Mutex::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (delivery, next) = (delivery.clone(), next.clone());
                std::thread::spawn(move || {
                    for _ in 0..1000 {
                        let mut number = next.lock();
                        let key = number.to_string().into_bytes().into();
                        delivery.publish(vec![KeyspaceEvent { db: 0, name: "set", key }]);
                        *number += 1;
                        drop(number);
                        delivery.deliver();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let expected: Vec<String> = (0..4000).map(|number| number.to_string()).collect();
        assert_eq!(*seen.lock(), expected);
    }
}
