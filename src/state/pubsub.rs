//! Publish and subscribe: who has subscribed to which channels and patterns.
//!
//! A publisher appends its message to the outbox of each subscriber, and never waits for one. Messages
//! are delivered by one thread at a time ([`Delivery`](super::Delivery)), so all subscribers see those of
//! one channel in the same order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use rapidhash::fast::RandomState;

use super::{ClientRecord, OutboxSender, Push};
use crate::glob;

/// A name as its subscribers and the registry share it.
pub type Name = Arc<[u8]>;

/// The kinds of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionKind {
    Channel,
    Pattern,
    /// A channel of SPUBLISH: what is published there stays in the shard of its slot.
    ShardChannel,
}

/// The clients that have subscribed to one name.
type Subscribers = Vec<Arc<ClientRecord>>;

type Names = HashMap<Name, Subscribers, RandomState>;

/// All subscriptions of all clients.
#[derive(Default)]
pub struct PubSub {
    channels: Mutex<Names>,
    shard_channels: Mutex<Names>,
    patterns: RwLock<Names>,
    /// Subscriptions to patterns, and all subscriptions, readable without a lock.
    pattern_subscriptions: AtomicUsize,
    subscriptions: AtomicUsize,
}

impl PubSub {
    /// Whether nobody has subscribed to anything: then nothing needs to be published.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.subscriptions.load(Ordering::Relaxed) == 0
    }

    /// Works on the names of one kind, to be changed.
    fn change<R>(&self, kind: SubscriptionKind, work: impl FnOnce(&mut Names) -> R) -> R {
        match kind {
            SubscriptionKind::Channel => work(&mut self.channels.lock()),
            SubscriptionKind::ShardChannel => work(&mut self.shard_channels.lock()),
            SubscriptionKind::Pattern => work(&mut self.patterns.write()),
        }
    }

    /// Adds a client's subscription, which it must not have yet. Returns the name, which is kept once.
    pub fn subscribe(
        &self,
        kind: SubscriptionKind,
        name: &[u8],
        client: &Arc<ClientRecord>,
    ) -> Name {
        let name = self.change(kind, |names| {
            let name =
                names.get_key_value(name).map_or_else(|| name.into(), |(name, _)| name.clone());
            let clients = names.entry(name.clone()).or_insert_with(|| Vec::with_capacity(1));
            clients.push(client.clone());
            name
        });
        self.subscriptions.fetch_add(1, Ordering::Relaxed);
        if kind == SubscriptionKind::Pattern {
            self.pattern_subscriptions.fetch_add(1, Ordering::Relaxed);
        }
        name
    }

    /// Ends a client's subscription, which it must have.
    pub fn unsubscribe(&self, kind: SubscriptionKind, name: &[u8], client: &Arc<ClientRecord>) {
        self.change(kind, |names| {
            let Some(clients) = names.get_mut(name) else { return };
            if let Some(at) = clients.iter().position(|other| Arc::ptr_eq(other, client)) {
                clients.swap_remove(at);
            }
            if clients.is_empty() {
                names.remove(name);
                if names.capacity() > 64 && names.len() < names.capacity() / 8 {
                    names.shrink_to_fit();
                }
            }
        });
        self.subscriptions.fetch_sub(1, Ordering::Relaxed);
        if kind == SubscriptionKind::Pattern {
            self.pattern_subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The clients with a subscription that `is_sought`, which is asked with its name, whether that is a
    /// pattern, and the client.
    pub fn subscribers_of(
        &self,
        is_sought: impl Fn(&[u8], bool, &ClientRecord) -> bool,
    ) -> Vec<Arc<ClientRecord>> {
        let mut found: Vec<Arc<ClientRecord>> = Vec::new();
        let kinds =
            [SubscriptionKind::Channel, SubscriptionKind::Pattern, SubscriptionKind::ShardChannel];
        for kind in kinds {
            let is_pattern = kind == SubscriptionKind::Pattern;
            self.change(kind, |names| {
                for (name, clients) in names.iter() {
                    let sought =
                        clients.iter().filter(|client| is_sought(name, is_pattern, client));
                    found.extend(sought.cloned());
                }
            });
        }
        found.sort_unstable_by_key(|client| client.id);
        found.dedup_by_key(|client| client.id);
        found
    }

    /// Calls `each` with every client that a message in `channel` is for, and with the pattern by which it
    /// has subscribed, if that is how.
    fn for_each_receiver(
        &self,
        kind: SubscriptionKind,
        channel: &[u8],
        mut each: impl FnMut(&Arc<ClientRecord>, Option<&Name>),
    ) {
        let names = match kind {
            SubscriptionKind::ShardChannel => &self.shard_channels,
            _ => &self.channels,
        };
        if let Some(clients) = names.lock().get(channel) {
            clients.iter().for_each(|client| each(client, None));
        }
        let has_patterns = self.pattern_subscriptions.load(Ordering::Relaxed) > 0;
        if kind == SubscriptionKind::Channel && has_patterns {
            for (pattern, clients) in self.patterns.read().iter() {
                if glob::matches(pattern, channel) {
                    clients.iter().for_each(|client| each(client, Some(pattern)));
                }
            }
        }
    }

    /// Sends a message to those who have subscribed to `channel`, of the kind `Channel` or `ShardChannel`.
    /// Returns how many receive it; a client does so once for each of its subscriptions that match.
    pub fn publish(
        &self,
        kind: SubscriptionKind,
        channel: &[u8],
        message: &[u8],
        sender: &mut OutboxSender<'_>,
    ) -> usize {
        let mut plain = None;
        let mut by_pattern: Option<(Name, Push)> = None;
        let mut receivers = 0;
        self.for_each_receiver(kind, channel, |client, pattern| {
            receivers += 1;
            let push = match pattern {
                None => plain.get_or_insert_with(|| message_push(kind, channel, message)),
                Some(pattern) => {
                    if by_pattern.as_ref().is_none_or(|(last, _)| !Arc::ptr_eq(last, pattern)) {
                        let push = pattern_push(pattern, channel, message);
                        by_pattern = Some((pattern.clone(), push));
                    }
                    &by_pattern.as_ref().expect("it was just made").1
                }
            };
            sender.send(client, push);
        });
        receivers
    }

    /// The receivers of a message as they are now, and what each is to be sent later.
    pub fn prepare(
        &self,
        kind: SubscriptionKind,
        channel: &[u8],
        message: &[u8],
    ) -> Vec<(Arc<ClientRecord>, Push)> {
        let mut all = Vec::new();
        self.for_each_receiver(kind, channel, |client, pattern| {
            let push = match pattern {
                None => message_push(kind, channel, message),
                Some(pattern) => pattern_push(pattern, channel, message),
            };
            all.push((client.clone(), push));
        });
        all
    }

    // --- What PUBSUB and INFO tell ---

    /// The names of one kind that have subscribers, in no order: all, or those that match `pattern`.
    pub fn names(&self, kind: SubscriptionKind, pattern: Option<&[u8]>) -> Vec<Name> {
        let fits = |name: &&Name| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        self.change(kind, |names| names.keys().filter(fits).cloned().collect())
    }

    /// How many names of one kind have subscribers.
    pub fn count(&self, kind: SubscriptionKind) -> usize {
        self.change(kind, |names| names.len())
    }

    /// How many clients have subscribed to a name.
    pub fn subscribers(&self, kind: SubscriptionKind, name: &[u8]) -> usize {
        self.change(kind, |names| names.get(name).map_or(0, Vec::len))
    }
}

fn message_push(kind: SubscriptionKind, channel: &[u8], message: &[u8]) -> Push {
    let word: &[u8] = match kind {
        SubscriptionKind::ShardChannel => b"smessage",
        _ => b"message",
    };
    Push::of_words(&[word, channel, message])
}

fn pattern_push(pattern: &[u8], channel: &[u8], message: &[u8]) -> Push {
    Push::of_words(&[b"pmessage", pattern, channel, message])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OutputLimits;

    fn client() -> Arc<ClientRecord> {
        ClientRecord::unlisted(0)
    }

    #[test]
    fn a_message_reaches_a_client_once_for_each_subscription_that_matches() {
        let (pubsub, limits) = (PubSub::default(), OutputLimits::default());
        let mut sender = OutboxSender::new(&limits);
        let (a, b) = (client(), client());
        pubsub.subscribe(SubscriptionKind::Channel, b"news", &a);
        pubsub.subscribe(SubscriptionKind::Pattern, b"n*", &a);
        pubsub.subscribe(SubscriptionKind::Pattern, b"*s", &b);
        pubsub.subscribe(SubscriptionKind::ShardChannel, b"news", &b);
        let mut publish = |kind, channel: &[u8]| pubsub.publish(kind, channel, b"x", &mut sender);
        assert_eq!(publish(SubscriptionKind::Channel, b"news"), 3);
        assert_eq!(publish(SubscriptionKind::Channel, b"new"), 1);
        assert_eq!(publish(SubscriptionKind::ShardChannel, b"news"), 1);
        assert_eq!(publish(SubscriptionKind::ShardChannel, b"new"), 0);
        pubsub.unsubscribe(SubscriptionKind::Pattern, b"n*", &a);
        assert_eq!(publish(SubscriptionKind::Channel, b"news"), 2);
        for (kind, name) in [
            (SubscriptionKind::Channel, &b"news"[..]),
            (SubscriptionKind::ShardChannel, b"news"),
            (SubscriptionKind::Pattern, b"*s"),
        ] {
            assert_eq!(pubsub.count(kind), 1);
            let who = if kind == SubscriptionKind::Channel { &a } else { &b };
            pubsub.unsubscribe(kind, name, who);
            assert_eq!(pubsub.count(kind), 0);
        }
        assert!(pubsub.is_idle());
    }
}
