//! The subscriptions of a connection: known from the server's confirmations.

use std::collections::HashSet;

use crate::tools::client::Value;

/// The kinds of subscriptions: of channels, of patterns, of sharded channels.
const KINDS: [Kind; 3] = [
    Kind { begin: "subscribe", end: "unsubscribe", message: "message", len: 3 },
    Kind { begin: "psubscribe", end: "punsubscribe", message: "pmessage", len: 4 },
    Kind { begin: "ssubscribe", end: "sunsubscribe", message: "smessage", len: 3 },
];

struct Kind {
    begin: &'static str,
    end: &'static str,
    message: &'static str,
    /// Elements of a message.
    len: usize,
}

/// The elements of the confirmation that a subscription has begun or ended.
const CONFIRMATION_LEN: usize = 3;

/// The names that a connection is subscribed to, by kind.
#[derive(Default)]
pub struct Subscriptions {
    names: [HashSet<Vec<u8>>; KINDS.len()],
}

impl Subscriptions {
    pub fn is_empty(&self) -> bool {
        self.names.iter().all(HashSet::is_empty)
    }

    pub fn clear(&mut self) {
        self.names.iter_mut().for_each(HashSet::clear);
    }

    /// The confirmations that a command gets: none, if it neither begins nor ends subscriptions.
    pub fn confirmations(&self, args: &[Vec<u8>]) -> usize {
        let Some((name, channels)) = args.split_first() else { return 0 };
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        for (kind, names) in KINDS.iter().zip(&self.names) {
            if is(kind.begin) || (is(kind.end) && !channels.is_empty()) {
                return channels.len().max(1);
            }
            // Without a name it ends all of its kind; without any, one confirmation says so.
            if is(kind.end) {
                return names.len().max(1);
            }
        }
        0
    }

    /// Records the subscription that a confirmation says has begun or ended.
    pub fn record(&mut self, items: &[Value]) {
        let [word, name, _] = items else { return };
        let (Some(word), Some(name)) = (word.as_bytes(), name.as_bytes()) else { return };
        for (kind, names) in KINDS.iter().zip(&mut self.names) {
            if word == kind.begin.as_bytes() {
                names.insert(name.to_vec());
            } else if word == kind.end.as_bytes() {
                names.remove(name);
            }
        }
    }
}

/// Whether the elements are a message, or the confirmation of a subscription's begin or end.
pub fn is_published(items: &[Value]) -> bool {
    let word = items.first().and_then(Value::as_bytes).unwrap_or_default();
    KINDS.iter().any(|kind| {
        let confirms = word == kind.begin.as_bytes() || word == kind.end.as_bytes();
        (confirms && items.len() == CONFIRMATION_LEN)
            || (word == kind.message.as_bytes() && items.len() == kind.len)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn items(line: &str) -> Vec<Value> {
        line.split(' ').map(|word| Value::Bulk(word.as_bytes().to_vec())).collect()
    }

    #[test]
    fn confirmations_say_what_is_subscribed() {
        let mut subscriptions = Subscriptions::default();
        for confirmation in ["subscribe a 1", "subscribe b 2", "psubscribe a 3", "message a b"] {
            subscriptions.record(&items(confirmation));
        }
        assert_eq!(subscriptions.confirmations(&args("SUBSCRIBE c d e")), 3);
        assert_eq!(subscriptions.confirmations(&args("unsubscribe")), 2);
        assert_eq!(subscriptions.confirmations(&args("unsubscribe a b c")), 3);
        assert_eq!(subscriptions.confirmations(&args("sunsubscribe")), 1);
        assert_eq!(subscriptions.confirmations(&args("get a")), 0);
        for confirmation in ["unsubscribe a 2", "unsubscribe b 1"] {
            subscriptions.record(&items(confirmation));
        }
        assert!(!subscriptions.is_empty());
        subscriptions.record(&items("punsubscribe a 0"));
        assert!(subscriptions.is_empty());
    }

    #[test]
    fn messages_and_confirmations_are_told_from_replies() {
        for line in ["message c x", "pmessage c* c x", "smessage c x", "sunsubscribe c 0"] {
            assert!(is_published(&items(line)), "{line}");
        }
        for line in ["pong x", "message", "pmessage c x", "subscribe a", "messages a b"] {
            assert!(!is_published(&items(line)), "{line}");
        }
    }
}
