//! The hash of keys and members.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};

/// Drawn anew for each process, so that nobody can choose keys that collide.
static SECRETS: LazyLock<RapidSecrets> =
    LazyLock::new(|| RapidSecrets::seed(RandomState::new().hash_one(0u8)));

/// The place of `key` in tables.
#[inline]
pub fn hash(key: &[u8]) -> u64 {
    rapidhash_v3_inline::<false, true, false>(key, &SECRETS)
}
