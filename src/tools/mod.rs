//! The command-line tools, `verbena-benchmark` and `verbena-cli`, and the RESP client that they share.
//!
//! The binaries only parse their arguments and call in here. Nothing of the server is used, except
//! the transport crate: to a server, the tools are clients like any other.

pub mod benchmark;
pub mod cli;
pub mod client;
pub mod server_options;
pub mod usage;
