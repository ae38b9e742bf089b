//! What clients are sent that they did not just ask for: messages of channels, keyspace events,
//! invalidations of cached keys, the lines of MONITOR. Everything that arrives at several connections is
//! compared with the real Valkey, step by step, in its order at each of them; and under load nothing is
//! lost, doubled or late.

#[path = "../common/mod.rs"]
mod common;

mod caching;
mod delivery;
mod monitor;
mod pubsub;
mod random;
mod stage;
mod tracking;
