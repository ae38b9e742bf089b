//! The event loop of a server's worker: tasks, and the descriptors that they wait for, on one thread.
//!
//! It does the work of a tokio current-thread runtime without timers, and serves the same futures, at less
//! cost per request: one `epoll_wait` serves all that is ready, readiness is a flag in a slot of
//! this thread alone, a clock is hardly ever read, and an idle loop polls its sockets before it sleeps where that
//! pays off (`crate::idle`).
//!
//! Everything that this crate offers works on either: see [`Source`] and [`spawn_local`].

mod activity;
mod executor;
mod poller;
mod run;
mod source;

pub use activity::Activity;
pub use run::{
    block_on, block_on_observed, run_others, spawn_local, try_spawn_local, yield_now, yield_task,
};
pub(crate) use source::{Interest, Source};
