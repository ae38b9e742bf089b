//! Verbena: an in-memory data-structure server, compatible with Valkey, over TCP and RDMA.
//!
//! Data flows one way: transport bytes → [`resp`] → [`session`] → [`command`] → [`keyspace`] →
//! [`value`] → reply bytes. Nothing deeper calls back up. `docs/ARCHITECTURE.md` is the map.
//!
//! Public is what the binaries, benches, tests and fuzz targets use.

pub mod acl;
pub mod allocator;
mod bits;
pub mod command;
pub mod config;
mod crash;
mod error;
mod geo;
mod glob;
pub mod keyspace;
pub mod log;
pub mod lua;
mod number;
pub mod process;
mod random;
pub mod rdb;
pub mod resp;
pub mod script;
pub mod server;
pub mod session;
pub mod state;
pub mod table;
pub mod tools;
pub mod value;
mod words;
pub mod worker;
