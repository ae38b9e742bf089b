//! Values in the RDB format, which DUMP returns, RESTORE takes, and snapshot files hold.
//!
//! This is a codec without I/O. [`Reader`] and [`Writer`] know the format's elements; [`decode`] and
//! [`encode`] know what each type of value is made of, of all versions that there have been since
//! Redis 2.6; [`load`] and [`save`] know how this server keeps them.
//!
//! The input is untrusted. Counts and lengths are compared with the bytes that are left before anything
//! is allocated for them, and packed values are checked element by element, since the rest of the
//! server walks through them unchecked.

mod decode;
mod decoded;
mod encode;
mod envelope;
mod length;
mod listpack;
mod load;
mod lzf;
mod reader;
mod save;
mod stream;
mod types;
mod writer;
mod ziplist;
mod zipmap;

pub use decode::typed;
pub use decoded::Decoded;
pub use envelope::{open, seal};
pub use load::load;
pub use reader::Reader;
pub use save::save;
pub use writer::Writer;

/// The bytes are no value, or are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFormat;

type Result<T, E = BadFormat> = std::result::Result<T, E>;
