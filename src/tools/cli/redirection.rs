//! `-c`: a node of a cluster says which other one has a key's slot.

use crate::tools::client::Value;

/// Redirections that one command follows.
pub const MAX_REDIRECTIONS: usize = 16;

/// The place that a `MOVED` or `ASK` error names.
#[derive(Debug, PartialEq)]
pub struct Redirection {
    /// Only this command belongs there, and ASKING goes before it.
    pub asks: bool,
    pub slot: u16,
    /// `None` where it is that of the node that answered.
    pub host: Option<String>,
    pub port: u16,
}

impl Redirection {
    pub fn read(reply: &Value) -> Option<Redirection> {
        let error = reply.as_error()?;
        let mut words = error.split(' ');
        let asks = match words.next()? {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let slot = words.next()?.parse().ok()?;
        // An IPv6 address has colons too.
        let (host, port) = words.next()?.rsplit_once(':')?;
        let host = Some(host.to_owned()).filter(|host| !host.is_empty());
        Some(Redirection { asks, slot, host, port: port.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(error: &str) -> Option<Redirection> {
        Redirection::read(&Value::Error(error.into()))
    }

    #[test]
    fn a_redirection_names_a_slot_and_a_node() {
        let host = Some("127.0.0.1".to_owned());
        let moved = Redirection { asks: false, slot: 3999, host, port: 6381 };
        assert_eq!(read("MOVED 3999 127.0.0.1:6381"), Some(moved));
        let ask = read("ASK 1 ::1:7000").unwrap();
        assert_eq!((ask.asks, ask.host.as_deref(), ask.port), (true, Some("::1"), 7000));
        assert_eq!(read("MOVED 1 :7000").unwrap().host, None);
        for error in ["ERR MOVED 1 a:1", "MOVED", "MOVED x a:1", "MOVED 1 a", "MOVED 1 a:x"] {
            assert_eq!(read(error), None, "{error}");
        }
        assert_eq!(Redirection::read(&Value::Simple(b"MOVED 1 a:1".to_vec())), None);
    }
}
