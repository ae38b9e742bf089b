//! Commands as the journal has them, where they differ from the call: times are absolute, and what chance,
//! the clock or an expired field decided is spelled out. Each function journals in place of the running
//! call; callers that would build words for nothing ask [`Cx::is_journaled`] first.

use smallvec::SmallVec;

use super::Cx;
use crate::keyspace::Key;
use crate::value::packed::Element;

/// Elements of one journaled command at the most, where their number is not bounded by a call's. It is
/// even, so that no pair is divided.
const CHUNK: usize = 512;

/// The words of a command, most often few of them.
pub(super) type Command<'w> = SmallVec<[&'w [u8]; 8]>;

/// Words that were copied from an entry which is borrowed or will be gone.
#[derive(Default)]
pub(super) struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Words {
    pub fn push(&mut self, word: &[u8]) {
        self.bytes.extend_from_slice(word);
        self.ends.push(self.bytes.len());
    }

    pub fn push_element(&mut self, element: Element<'_>) {
        self.push(element.bytes(&mut itoa::Buffer::new()));
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[*start..*end])
    }

    /// Journals `name key word …`, in as many commands as are needed; none without words.
    pub fn journal(&self, cx: &mut Cx<'_>, key: &Key<'_>, name: &[u8]) {
        let words: Vec<&[u8]> = self.iter().collect();
        for words in words.chunks(CHUNK) {
            let mut command: Vec<&[u8]> = vec![name, key.bytes];
            command.extend_from_slice(words);
            cx.journal_as(key, command);
        }
    }
}

/// The key is removed.
pub(super) fn unlink(cx: &mut Cx<'_>, key: &Key<'_>) {
    cx.journal_as(key, [&b"UNLINK"[..], key.bytes]);
}

/// The key expires `at` milliseconds of Unix time.
pub(super) fn expire_at(cx: &mut Cx<'_>, key: &Key<'_>, at: i64) {
    let mut digits = itoa::Buffer::new();
    cx.journal_as(key, [&b"PEXPIREAT"[..], key.bytes, digits.format(at).as_bytes()]);
}

/// What becomes of the expiry of a key that is set.
#[derive(Clone, Copy)]
pub(super) enum Expires {
    /// In milliseconds of Unix time, or never.
    At(Option<i64>),
    AsBefore,
}

/// The key gets a string.
pub(super) fn set(cx: &mut Cx<'_>, key: &Key<'_>, value: &[u8], expires: Expires) {
    let mut digits = itoa::Buffer::new();
    let mut command = Command::from_slice(&[b"SET", key.bytes, value]);
    match expires {
        Expires::At(None) => {}
        Expires::At(Some(at)) => {
            command.extend_from_slice(&[b"PXAT", digits.format(at).as_bytes()]);
        }
        Expires::AsBefore => command.push(b"KEEPTTL"),
    }
    cx.journal_as(key, command);
}
