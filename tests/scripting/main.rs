//! Scripts and functions, as clients and other threads meet them.

#[path = "../common/mod.rs"]
mod common;

mod busy;
mod hostile;
mod isolation;
mod replies;
