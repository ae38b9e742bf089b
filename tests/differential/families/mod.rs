//! The commands of each type of value.

pub mod bitmap;
pub mod dump;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod script;
pub mod set;
pub mod sort;
pub mod sorted_set;
pub mod stream;
