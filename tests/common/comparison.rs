//! Replies beside the real Valkey's.

use super::{Client, Server};

/// Runs commands at both servers, over a connection each, and compares the replies byte for byte. The words
/// of a command stand between spaces, or between `|` if it has one; empty lines are none. An answered HELLO
/// is not compared: it names the server's modules.
pub fn assert_same_replies<'a>(
    ours: &Server,
    theirs: &Server,
    commands: impl IntoIterator<Item = &'a str>,
) {
    let mut clients = [ours.connect(), theirs.connect()];
    commands.into_iter().for_each(|command| assert_same_reply(&mut clients, command));
}

/// As [`assert_same_replies`], for one command.
pub fn assert_same_reply(clients: &mut [Client; 2], command: &str) {
    let separator = if command.contains('|') { '|' } else { ' ' };
    let words: Vec<&str> = command.split(separator).collect();
    if command.is_empty() {
        return;
    }
    let [ours, theirs] =
        clients.each_mut().map(|client| String::from_utf8_lossy(&client.raw(&words)).into_owned());
    let greets =
        words[0] == "HELLO" && [&ours, &theirs].iter().all(|reply| !reply.starts_with('-'));
    assert!(greets || ours == theirs, "{command:?}\n ours: {ours:?}\ntheirs: {theirs:?}");
}
