//! Out-of-band messages: what clients are sent that they did not just ask for.

use std::sync::Arc;

use bytes::Bytes;

use super::{ClientRecord, OutboxClass};
use crate::config::{OutputLimit, OutputLimits};
use crate::resp::{Protocol, Reply};

/// An encoded message. RESP3 has it as a push, RESP2 as an array: only the first byte differs.
#[derive(Clone)]
pub struct Push(Bytes);

impl Push {
    /// A message of bulk strings.
    pub fn of_words(words: &[&[u8]]) -> Push {
        Push::encode(words.len(), |out| words.iter().for_each(|word| out.bulk(word)))
    }

    /// A message of `len` elements, which `write` appends.
    pub fn encode(len: usize, write: impl FnOnce(&mut Reply<'_>)) -> Push {
        let mut out = Reply::new(&mut [], Protocol::Resp2);
        out.array(len);
        write(&mut out);
        let mut chunks = out.into_chunks();
        let mut all = match chunks.len() {
            1 => chunks.swap_remove(0),
            _ => chunks.concat().into(),
        };
        Push(all.split_off(1))
    }
}

/// Sends messages to clients, and notes those whose output buffers are over their hard limit then.
pub struct OutboxSender<'l> {
    limits: &'l OutputLimits,
    /// Clients whose output buffers are over their hard limits, and are to be ended.
    pub(super) over_limit: Vec<Arc<ClientRecord>>,
    /// Clients whose outboxes have grown by much.
    pub(super) grown: Vec<Arc<ClientRecord>>,
}

/// Bytes by which an outbox may grow before the client's memory is counted again.
const COUNTED_STEP: u64 = 16 * 1024;

impl<'l> OutboxSender<'l> {
    pub fn new(limits: &'l OutputLimits) -> Self {
        OutboxSender { limits, over_limit: Vec::new(), grown: Vec::new() }
    }

    /// Hands a client a message.
    pub fn send(&mut self, client: &Arc<ClientRecord>, push: &Push) {
        let first = if client.is_resp3() { b'>' } else { b'*' };
        self.send_bytes(client, first, &push.0);
    }

    /// Hands a client the byte `first` and what follows it.
    pub fn send_bytes(&mut self, client: &Arc<ClientRecord>, first: u8, rest: &Bytes) {
        let waiting = client.send(first, rest);
        let hard = self.limits.of(client.class()).hard;
        if hard > 0 && waiting >= hard && !client.is_killed() {
            self.over_limit.push(client.clone());
        } else if waiting / COUNTED_STEP
            > waiting.saturating_sub(1 + rest.len() as u64) / COUNTED_STEP
        {
            self.grown.push(client.clone());
        }
    }
}

impl OutputLimits {
    /// The limit of a class.
    pub fn of(&self, class: OutboxClass) -> OutputLimit {
        match class {
            OutboxClass::Normal => self.normal,
            OutboxClass::Replica => self.replica,
            OutboxClass::Pubsub => self.pubsub,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_form_of_its_clients_protocol() {
        let push = Push::of_words(&[b"message", b"c", b""]);
        assert_eq!(&push.0[..], b"3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n");
        let long = vec![b'x'; 100_000];
        let push = Push::of_words(&[&long, b"c"]);
        assert_eq!(push.0.len(), "2\r\n$100000\r\n\r\n$1\r\nc\r\n".len() + 100_000);
    }

    #[test]
    fn a_client_that_reads_nothing_is_noted_once_it_has_too_much() {
        let limit = OutputLimit { hard: 100, ..OutputLimit::default() };
        let limits = OutputLimits { normal: limit, ..OutputLimits::default() };
        let mut sender = OutboxSender::new(&limits);
        let client = ClientRecord::unlisted(0);
        let rest = Bytes::from_static(&[b'x'; 39]);
        for _ in 0..2 {
            sender.send_bytes(&client, b'+', &rest);
        }
        assert!(sender.over_limit.is_empty());
        sender.send_bytes(&client, b'+', &rest);
        assert_eq!(sender.over_limit.len(), 1);
    }
}
