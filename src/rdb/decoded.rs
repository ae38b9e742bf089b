//! Values as they are read, before they are this server's own.
//!
//! What can be borrowed from the payload is.

use std::borrow::Cow;

pub enum Decoded<'a> {
    String(Cow<'a, [u8]>),
}
