//! The sessions that clients may resume.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::server::StoresServerSessions;

/// The most bytes of all sessions: each has the certificates that its client has shown.
const MOST_BYTES: usize = 64 << 20;

/// Sessions up to a number, each for a time. The oldest ones make room for new ones.
#[derive(Debug)]
pub(super) struct Sessions {
    most: usize,
    /// Zero for ever.
    lifetime: Duration,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<Vec<u8>, Session>,
    /// Keys in the order of their making, with the number that their session had.
    order: VecDeque<(u64, Vec<u8>)>,
    made: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Session {
    number: u64,
    value: Vec<u8>,
    since: Instant,
}

impl Sessions {
    pub(super) fn new(most: usize, lifetime: Duration) -> Sessions {
        Sessions { most, lifetime, kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // No step of it leaves anything half done that matters: a session that is missing is not resumed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_valid(&self, session: &Session) -> bool {
        self.lifetime.is_zero() || session.since.elapsed() < self.lifetime
    }
}

impl Kept {
    fn remove(&mut self, key: &[u8]) -> Option<Session> {
        let session = self.by_key.remove(key)?;
        self.bytes -= key.len() + session.value.len();
        Some(session)
    }

    fn remove_oldest(&mut self) {
        while let Some((number, key)) = self.order.pop_front() {
            // The same key may have been taken, or have a newer session.
            if self.by_key.get(&key).is_some_and(|session| session.number == number) {
                self.remove(&key);
                return;
            }
        }
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let mut kept = self.lock();
        kept.remove(&key);
        // Sessions that were taken leave their keys here.
        while kept.by_key.len() >= self.most || kept.order.len() >= 2 * self.most {
            kept.remove_oldest();
        }
        kept.bytes += key.len() + value.len();
        while kept.bytes > MOST_BYTES && !kept.by_key.is_empty() {
            kept.remove_oldest();
        }
        kept.made += 1;
        let number = kept.made;
        kept.order.push_back((number, key.clone()));
        kept.by_key.insert(key, Session { number, value, since: Instant::now() });
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.lock();
        kept.by_key
            .get(key)
            .filter(|session| self.is_valid(session))
            .map(|found| found.value.clone())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let session = self.lock().remove(key)?;
        self.is_valid(&session).then_some(session.value)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn the_oldest_sessions_make_room() {
        let sessions = Sessions::new(3, Duration::ZERO);
        for number in 0..10 {
            assert!(sessions.put(key(number), vec![number as u8; 100]));
        }
        assert_eq!(sessions.get(&key(6)), None);
        assert_eq!(sessions.take(&key(7)), Some(vec![7; 100]));
        assert_eq!(sessions.take(&key(7)), None);
        assert_eq!(sessions.get(&key(9)), Some(vec![9; 100]));
        for number in 10..1000 {
            sessions.put(key(number), vec![0; 100]);
            sessions.take(&key(number));
        }
        let kept = sessions.lock();
        assert!(kept.order.len() <= 6 && kept.by_key.len() <= 3);
        let bytes: usize =
            kept.by_key.iter().map(|(key, found)| key.len() + found.value.len()).sum();
        assert_eq!(kept.bytes, bytes);
    }

    #[test]
    fn long_sessions_are_fewer() {
        let sessions = Sessions::new(1000, Duration::ZERO);
        for number in 0..100 {
            sessions.put(key(number), vec![0; 1 << 20]);
        }
        let kept = sessions.lock();
        assert!(kept.bytes <= MOST_BYTES && kept.by_key.len() >= 60, "{}", kept.by_key.len());
    }

    #[test]
    fn a_session_ends_with_its_time() {
        let sessions = Sessions::new(10, Duration::from_nanos(1));
        sessions.put(key(1), vec![1]);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(sessions.get(&key(1)), None);
        assert_eq!(sessions.take(&key(1)), None);
    }
}
