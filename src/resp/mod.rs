//! RESP, the protocol of Redis and Valkey: requests in, replies out. Sans-I/O.
//!
//! [`RequestParser`] turns received bytes into a command's arguments without copying them;
//! [`Reply`] encodes RESP2 or RESP3 straight into the memory that it is sent from.

mod reply;
mod request;

pub use reply::{Mark, Protocol, Reply, SHARED_LEN};
pub use request::{Args, BorrowedArgs, Limits, OwnedArgs, ProtocolError, Request, RequestParser};
