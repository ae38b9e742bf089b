//! The commands that are compared, a file for each family.

pub mod bitmap;
pub mod hyperloglog;
