//! A client that waits for keys, and what others do meanwhile.

use super::{Server, Value};

/// What ends a client's waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// What others do, or else CLIENT UNBLOCK.
    Others,
    /// Its own timeout.
    Timeout,
    /// It does not wait at all.
    AtOnce,
}

/// What all who take part are told, the waiting client last: `setup` is run, then one client says `wait`,
/// and when it waits, another one says what stands in `then`.
pub fn outcome_of_waiting(
    server: &Server,
    protocol: &str,
    setup: &[&str],
    wait: &str,
    ending: Ending,
    then: &[&str],
) -> Vec<Value> {
    let (mut others, mut waiting) = (server.connect(), server.connect());
    setup.iter().for_each(|words| drop(others.run(words)));
    waiting.run(&format!("HELLO {protocol}"));
    let id = waiting.run("CLIENT ID").integer();
    waiting.send(&wait.split(' ').collect::<Vec<_>>());
    if ending == Ending::Others {
        others.wait_until_blocked(id);
    }
    let mut replies = then.iter().map(|words| others.run(words)).collect::<Vec<_>>();
    if ending != Ending::Timeout {
        // One who still waits is told nothing.
        others.run(&format!("CLIENT UNBLOCK {id}"));
    }
    replies.push(waiting.read());
    replies
}
