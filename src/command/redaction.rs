//! Which arguments are secrets, and not shown by MONITOR and the command log.

use super::Registered;
use crate::resp::Args;

/// Parameters whose values are secrets.
const PARAMETERS: &[&[u8]] = &[
    b"requirepass",
    b"primaryauth",
    b"masterauth",
    b"primaryuser",
    b"masteruser",
    b"tls-key-file-pass",
    b"tls-client-key-file-pass",
];

/// Whether the argument at `index` is a secret: a password, or a user's name beside one.
pub fn is_secret(found: &Registered, args: Args<'_>, index: usize) -> bool {
    match found.full_name.as_str() {
        "auth" => index > 0,
        "acl|setuser" | "acl|deluser" | "acl|getuser" => index > 1,
        "hello" => {
            let is_auth = |at: usize| args.at(at).eq_ignore_ascii_case(b"auth");
            (index.saturating_sub(2)..index).any(|at| at >= 2 && is_auth(at))
        }
        "config|set" => {
            let names = |name: &&&[u8]| args.at(index - 1).eq_ignore_ascii_case(name);
            index >= 3 && index % 2 == 1 && PARAMETERS.iter().any(|name| names(&name))
        }
        _ => false,
    }
}
