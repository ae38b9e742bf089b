//! The commands: one table, then one file per family.
//!
//! A command's arity, flags, key specs and ACL categories stand once, in the `COMMANDS` of its
//! family's file, beside its function. Dispatch, COMMAND, ACL, cluster and transactions all read
//! that table.

mod acl;
pub mod admission;
mod bitmap;
mod blocking;
mod call;
mod caller;
mod catalog;
mod certificate;
mod client;
mod cluster;
mod command_log;
mod config;
mod connection;
mod context;
mod database;
mod debug;
mod docs;
mod dump;
mod expire;
mod geo;
mod hash;
mod hyperloglog;
mod identity;
mod info;
mod keys;
mod latency;
mod list;
mod lolwut;
mod memory;
mod module;
mod monitor;
mod object;
mod observation;
pub mod permission;
mod pubsub;
mod redaction;
mod replay;
mod rewrite;
mod sampling;
mod scan;
mod scripting;
mod server;
mod set;
mod sort;
mod sorted_set;
mod spec;
mod stream;
mod string;
mod table;
pub mod timeout;
mod transaction;

pub use crate::error::{CommandError, Result};
pub use crate::keyspace::EntryMut;
pub use acl::load_at_start;
pub use blocking::{Begin, Blocked, ParkedCall, serve_ready};
pub use call::{Env, Local, call, release, settle};
pub use caller::{Caller, Ending, Origin, ReplyMode};
pub use certificate::authenticate as authenticate_by_certificate;
pub use client::tracking::stop_broadcasts;
pub use context::Cx;
pub use docs::documents;
pub use identity::Identity;
pub use replay::{Replay, ReplayError, ReplayFailure};
pub use scripting::{busy, flags_of, patience};
pub use spec::{
    Access, BeginSearch, Categories, Command, FindKeys, Flags, Group, Handler, KeyFlags, KeySpec,
    Scope,
};
pub use table::{CommandTable, Registered, key_positions, keys_of, table};
pub use transaction::abort;

/// Every family's commands.
const FAMILIES: &[&[Command]] = &[
    acl::COMMANDS,
    bitmap::bit::COMMANDS,
    bitmap::combine::COMMANDS,
    bitmap::field::COMMANDS,
    bitmap::range::COMMANDS,
    config::COMMANDS,
    catalog::COMMANDS,
    client::COMMANDS,
    cluster::COMMANDS,
    command_log::COMMANDS,
    connection::COMMANDS,
    database::COMMANDS,
    debug::COMMANDS,
    dump::COMMANDS,
    expire::COMMANDS,
    hyperloglog::COMMANDS,
    hash::expiry::COMMANDS,
    hash::get::COMMANDS,
    hash::number::COMMANDS,
    hash::random::COMMANDS,
    hash::scan::COMMANDS,
    hash::set::COMMANDS,
    geo::COMMANDS,
    geo::search::COMMANDS,
    info::COMMANDS,
    keys::COMMANDS,
    latency::COMMANDS,
    list::blocking::COMMANDS,
    list::edit::COMMANDS,
    list::pop::COMMANDS,
    list::push::COMMANDS,
    list::read::COMMANDS,
    list::transfer::COMMANDS,
    lolwut::COMMANDS,
    memory::COMMANDS,
    module::COMMANDS,
    monitor::COMMANDS,
    object::COMMANDS,
    pubsub::COMMANDS,
    scan::COMMANDS,
    scripting::COMMANDS,
    server::COMMANDS,
    stream::add::COMMANDS,
    stream::claim::COMMANDS,
    stream::group::COMMANDS,
    stream::info::COMMANDS,
    stream::pending::COMMANDS,
    stream::range::COMMANDS,
    stream::read::COMMANDS,
    set::algebra::COMMANDS,
    set::members::COMMANDS,
    set::random::COMMANDS,
    sorted_set::add::COMMANDS,
    sorted_set::algebra::COMMANDS,
    sorted_set::blocking::COMMANDS,
    sorted_set::pop::COMMANDS,
    sorted_set::random::COMMANDS,
    sorted_set::range::COMMANDS,
    sorted_set::read::COMMANDS,
    sorted_set::remove::COMMANDS,
    sorted_set::scan::COMMANDS,
    sort::COMMANDS,
    string::get::COMMANDS,
    string::set::COMMANDS,
    string::range::COMMANDS,
    string::number::COMMANDS,
    string::lcs::COMMANDS,
    transaction::COMMANDS,
];
