//! Users and their permissions (ACL).
//!
//! A user is compiled once, when a rule changes it: its selectors have a bit for each command, patterns that
//! are split already, and lists of databases, all of it immutable. Connections hold the user that they have
//! authenticated as, and look for another one when the [generation](Acl::generation) of the users is new.
//! This room knows commands by their names, ids and categories alone ([`Commands`]).

mod category;
mod commands;
mod file;
mod log;
mod password;
mod pattern;
mod registry;
mod rule;
mod selector;
mod user;

pub use category::Categories;
pub use commands::{CommandEntry, Commands};
pub use file::{Declaration, parse_file};
pub use log::{Context, Denial, Entry, Log, Reason};
pub use password::generate as generate_password;
pub use pattern::{KeyAccess, Pattern};
pub use registry::Acl;
pub use rule::{RuleError, Rules, join_selectors};
pub use selector::Selector;
pub use user::{DEFAULT, User};
