//! Transactions and single commands of several clients at once, served by four workers: what each client
//! saw, and when, must be explained by some order of the commands that agrees with real time.

#[path = "../common/mod.rs"]
mod common;

mod checker;
mod history;
mod keyspace;
mod transfers;
