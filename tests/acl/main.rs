//! Users and permissions: what is said, denied and logged equals the oracle's, reply by reply.

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod files;
mod log;
mod permissions;
mod rules;

use common::{Client, Server, Value};
use tempfile::TempDir;

/// The server and the oracle, with as many connections to each as a test names.
struct Pair {
    servers: [Server; 2],
    clients: Vec<[Client; 2]>,
    /// Directories that the servers use.
    directories: Vec<TempDir>,
}

impl Pair {
    fn start(options: &[&str], connections: usize) -> Pair {
        let servers = [Server::start(options), Server::oracle(options)];
        let mut pair = Pair::of(servers);
        (0..connections).for_each(|_| pair.connect());
        pair
    }

    fn of(servers: [Server; 2]) -> Pair {
        Pair { servers, clients: Vec::new(), directories: Vec::new() }
    }

    /// One more connection to each, which is served once this returns.
    fn connect(&mut self) {
        let clients = self.servers.each_ref().map(Server::connect);
        self.clients.push(clients.map(|mut client| {
            client.run("ECHO served");
            client
        }));
    }

    /// Runs a command by connection `by` of each, and compares the replies' bytes.
    fn same(&mut self, by: usize, words: &[&str]) -> String {
        let [ours, theirs] = self.clients[by].each_mut().map(|client| client.raw(words));
        let show = |reply: &[u8]| reply.escape_ascii().to_string();
        assert_eq!(show(&ours), show(&theirs), "{by}: {words:?}");
        show(&ours)
    }

    /// As [`same`](Self::same), of words without spaces.
    fn run(&mut self, by: usize, line: &str) -> String {
        self.same(by, &line.split(' ').collect::<Vec<_>>())
    }

    /// As [`same`](Self::same), of a reply whose elements have no order.
    fn run_unordered(&mut self, by: usize, line: &str) {
        let [ours, theirs] = self.clients[by].each_mut().map(|client| {
            let mut elements: Vec<String> =
                client.run(line).elements().iter().map(Value::text).collect();
            elements.sort();
            elements
        });
        assert_eq!(ours, theirs, "{by}: {line}");
    }

    fn send(&mut self, by: usize, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        self.clients[by].iter_mut().for_each(|client| client.send(&words));
    }

    fn read(&mut self, by: usize) -> String {
        let [ours, theirs] = self.clients[by].each_mut().map(Client::read_raw);
        assert_eq!(ours.escape_ascii().to_string(), theirs.escape_ascii().to_string(), "{by}");
        ours.escape_ascii().to_string()
    }
}
