//! `--hotkeys`: the keys that are used most, as an LFU policy counts it.

use std::io::{self, Write};

use super::options::Options;
use super::scan::{self, INTRODUCTION, Scan};
use super::session::Session;
use super::words::quote;
use crate::tools::client::Value;

/// Keys that the summary names.
const HOTTEST: usize = 16;

/// The keys with the greatest counters, in descending order.
#[derive(Default)]
struct Hottest(Vec<(u64, Vec<u8>)>);

impl Hottest {
    /// Takes a key that is among the hottest so far; else false.
    fn add(&mut self, counter: u64, key: &[u8]) -> bool {
        let place = self.0.partition_point(|(other, _)| *other >= counter);
        if counter == 0 || place == HOTTEST {
            return false;
        }
        self.0.insert(place, (counter, key.to_vec()));
        self.0.truncate(HOTTEST);
        true
    }
}

/// Asks for the counter of every key.
pub async fn run(options: &Options, session: &mut Session) -> io::Result<()> {
    let Some(client) = session.client().await else { return Err(scan::not_connected()) };
    let mut out = io::stdout();
    writeln!(out, "{}", INTRODUCTION.replace("biggest", "hot"))?;
    let mut scan = Scan::new(options)?;
    let keyspace = scan::keyspace_size(client).await?;
    let mut hottest = Hottest::default();
    let (mut sampled, mut scans) = (0u64, 0u64);
    loop {
        let keys = scan.next(client).await?;
        for key in &keys {
            client.send(&[&b"OBJECT"[..], b"FREQ", key]);
        }
        let done = scan::percentage(sampled, keyspace);
        for key in &keys {
            let counter = match scan::next_reply(client).await? {
                Value::Integer(counter) => counter as u64,
                // The key was removed meanwhile.
                Value::Null => continue,
                Value::Error(text) => return Err(scan::refused(&text)),
                _ => return Err(scan::unexpected("OBJECT FREQ")),
            };
            if hottest.add(counter, key) {
                let key = quote(key);
                let key = String::from_utf8_lossy(&key);
                writeln!(
                    out,
                    "[{done:05.2}%] Hot key '{key}' found so far with counter {counter}"
                )?;
            }
        }
        sampled += keys.len() as u64;
        if scan.is_over() {
            break;
        }
        scans += 1;
        scan::pause(options, scans).await;
    }
    writeln!(out, "\n-------- summary -------\n\nSampled {sampled} keys in the keyspace!")?;
    for (counter, key) in &hottest.0 {
        let key = quote(key);
        let key = String::from_utf8_lossy(&key);
        writeln!(out, "hot key found with counter: {counter}\tkeyname: {key}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_keys_are_kept_in_order() {
        let mut hottest = Hottest::default();
        for counter in 0..=20 {
            assert_eq!(hottest.add(counter, b"k"), counter > 0);
        }
        assert!(!hottest.add(4, b"k"));
        let counters: Vec<u64> = hottest.0.iter().map(|(counter, _)| *counter).collect();
        assert_eq!(counters, (5..=20).rev().collect::<Vec<u64>>());
    }
}
