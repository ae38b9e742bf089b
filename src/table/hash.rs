//! The hash of keys and members.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};

/// Drawn at random for each process, so that nobody can choose keys that collide.
static SECRETS: LazyLock<RapidSecrets> =
    LazyLock::new(|| RapidSecrets::seed(RandomState::new().hash_one(0u8)));

/// The hash of `key`, which determines its place in tables.
#[inline]
pub fn hash(key: &[u8]) -> u64 {
    hash_with(key, &SECRETS)
}

/// RapidHash with a last step that spreads each bit over all of them. Without it, some secrets put a
/// third of certain short sequential keys in one bucket of sixteen (a few secrets in a hundred).
#[inline]
fn hash_with(key: &[u8], secrets: &RapidSecrets) -> u64 {
    const AVALANCHE: bool = true;
    const COMPACT: bool = true;
    const PROTECTED: bool = false;
    rapidhash_v3_inline::<AVALANCHE, COMPACT, PROTECTED>(key, secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequential_keys_are_spread_evenly_with_any_secrets() {
        type Name = fn(usize) -> String;
        let names: [Name; 3] =
            [|i| i.to_string(), |i| format!("m:{i}"), |i| format!("key:{i:012}")];
        let seeds = if cfg!(miri) { 1 } else { 1000 };
        for (seed, name) in (0..seeds).flat_map(|seed| names.map(|name| (seed, name))) {
            let secrets = RapidSecrets::seed(seed);
            let keys: Vec<String> = (0..96).map(name).collect();
            for bits in [0, 16, 32, 56] {
                let mut buckets = [0; 16];
                for key in &keys {
                    buckets[(hash_with(key.as_bytes(), &secrets) >> bits) as usize % 16] += 1;
                }
                // With an even distribution, one bucket exceeds this once in 10^9 times.
                let most = buckets.iter().max();
                assert!(most < Some(&28), "{most:?} like {} of seed {seed}", keys[0]);
            }
        }
    }
}
