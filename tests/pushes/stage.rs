//! Both servers with the same connections. After each step everything that has arrived at any of them is
//! read and compared.

use std::collections::BTreeMap;

use crate::common::{Client, Server, Value};

/// Client ids below this are not given to the connections, so that an id is not taken for another number.
const FIRST_ID: i64 = 1000;

/// Valkey and the server under test.
pub struct Stage {
    sides: [Side; 2],
}

/// What has arrived at the connections, by name.
pub type Arrived = BTreeMap<char, Vec<String>>;

struct Side {
    server: Server,
    peers: BTreeMap<char, Peer>,
    steps: usize,
}

struct Peer {
    client: Client,
    id: i64,
    /// Its commands are queued: it can't be asked whether all has arrived.
    queues: bool,
    is_monitor: bool,
}

impl Stage {
    /// Both servers, started with these options.
    pub fn new(options: &[&str]) -> Stage {
        let with_workers = [options, &["--io-threads", "4"]].concat();
        let sides = [Server::oracle(options), Server::start(&with_workers)].map(|server| {
            while id(&mut server.connect()) < FIRST_ID {}
            Side { server, peers: BTreeMap::new(), steps: 0 }
        });
        Stage { sides }
    }

    /// Ends all connections and removes all data.
    pub fn clear(&mut self) {
        for side in &mut self.sides {
            side.peers.clear();
            let mut client = side.server.connect();
            assert!(client.run("FLUSHALL").is("OK"));
            assert!(client.command(&["CONFIG", "SET", "notify-keyspace-events", ""]).is("OK"));
            // The others are gone once the server has noticed.
            while client.run("CLIENT LIST").text().lines().count() > 1 {
                std::thread::yield_now();
            }
        }
    }

    /// Executes one step on both servers. `Err` says what has arrived at which, if that differs.
    pub fn step(&mut self, actor: char, words: &[&str]) -> Result<Arrived, [Arrived; 2]> {
        let [theirs, ours] = self.sides.each_mut().map(|side| side.step(actor, words));
        if ours == theirs { Ok(ours) } else { Err([theirs, ours]) }
    }

    /// Plays a script: each line has a connection's letter and a command, whose words `''` and `@B` are an
    /// empty one and the id of the client B. `A3` is a connection that speaks RESP3. `A.` ends one.
    ///
    /// # Panics
    /// Where the servers differ.
    pub fn play(&mut self, script: &str) {
        self.clear();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let actor = words[0].chars().next().expect("a letter");
            let step = match &words[0][1..] {
                "" => self.step(actor, &words[1..]),
                "3" => self
                    .step(actor, &["HELLO", "3", "SETNAME", &words[0][..1]])
                    .or(Ok(Arrived::new())),
                "." => {
                    self.end(actor);
                    continue;
                }
                other => panic!("no line begins with {other:?}: {line:?}"),
            };
            if let Err([theirs, ours]) = step {
                panic!("{line:?}\nValkey: {theirs:#?}\nours: {ours:#?}\nin:\n{script}");
            }
        }
    }

    fn end(&mut self, name: char) {
        for side in &mut self.sides {
            let peer = side.peers.remove(&name).expect("a connection of that name");
            drop(peer.client);
            let mut client = side.server.connect();
            while !client.run(&format!("CLIENT LIST ID {}", peer.id)).text().is_empty() {
                std::thread::yield_now();
            }
        }
    }
}

fn id(client: &mut Client) -> i64 {
    client.run("CLIENT ID").integer()
}

impl Side {
    fn peer(&mut self, name: char) -> &mut Peer {
        let server = &self.server;
        self.peers.entry(name).or_insert_with(|| {
            let mut client = server.connect();
            let id = id(&mut client);
            Peer { client, id, queues: false, is_monitor: false }
        })
    }

    fn step(&mut self, actor: char, words: &[&str]) -> Arrived {
        let ids: BTreeMap<String, String> = self
            .peers
            .iter()
            .map(|(name, peer)| (format!("@{name}"), peer.id.to_string()))
            .collect();
        let words: Vec<&str> = words
            .iter()
            .map(|word| if *word == "''" { "" } else { ids.get(*word).map_or(*word, |id| id) })
            .collect();
        self.steps += 1;
        let marker = format!("all of step {}", self.steps);
        let peer = self.peer(actor);
        peer.client.send(&words);
        let mut arrived = Arrived::new();
        let replies = peer.read_reply(&words);
        arrived.insert(actor, replies.iter().map(|value| self.show(value)).collect());
        let names: Vec<char> = self.peers.keys().copied().collect();
        for name in names {
            let values = self.peer(name).read_all(&marker);
            let shown = values.iter().map(|value| self.show(value));
            arrived.entry(name).or_default().extend(shown);
        }
        arrived.values_mut().for_each(|values| put_in_order(values));
        arrived
    }

    /// A value with the names of clients in place of their ids, and without times and addresses.
    fn show(&self, value: &Value) -> String {
        // Modules are compared elsewhere.
        let lua = [
            "[[\"name\", \"lua\", \"ver\", (integer) 1, \"path\", \"lua\", \"args\", []]]",
            "[{\"name\": \"lua\", \"ver\": (integer) 1, \"path\": \"lua\", \"args\": []}]",
        ];
        let mut shown = value.to_string();
        lua.iter().for_each(|lua| shown = shown.replace(lua, "[]"));
        for (name, peer) in &self.peers {
            shown = shown.replace(&format!("(integer) {}", peer.id), &format!("@{name}"));
        }
        match shown.split_once(" [") {
            Some((time, rest)) if time.parse::<f64>().is_ok() => {
                let (address, command) = rest.split_once(']').expect("an address in brackets");
                let db = address.split(' ').next().expect("a database");
                format!("[{db}]{command}")
            }
            _ => shown,
        }
    }
}

impl Peer {
    /// Reads until the reply to a command, which may be several messages for a command of subscriptions.
    fn read_reply(&mut self, words: &[&str]) -> Vec<Value> {
        let mut values = vec![self.client.read()];
        // Messages that others have sent before may come first. The replies to a command about
        // subscriptions look like them, and what follows the first one is read with what follows it.
        let is_reply_push = is_about_subscription(words) && !self.queues;
        while matches!(&values[values.len() - 1], Value::Push(_)) && !is_reply_push {
            values.push(self.client.read());
        }
        let last = values.last().expect("it was just read");
        match words[0].to_ascii_uppercase().as_str() {
            "MULTI" if last.is("OK") => self.queues = true,
            "EXEC" | "DISCARD" => self.queues = false,
            "RESET" => (self.queues, self.is_monitor) = (false, false),
            "MONITOR" if last.is("OK") => self.is_monitor = true,
            _ => {}
        }
        values
    }

    /// Reads all that has arrived, which is known when the reply to a PING has.
    fn read_all(&mut self, marker: &str) -> Vec<Value> {
        let mut values = Vec::new();
        if self.queues {
            return values;
        }
        self.client.send(&["PING", marker]);
        let mark = Value::Bulk(marker.into());
        let as_message = Value::Array(vec![Value::Bulk(b"pong".to_vec()), mark.clone()]);
        loop {
            let value = self.client.read();
            let is_mark = value == mark || value == as_message;
            // PINGs are for monitors to see, but tell nothing.
            let is_shown = matches!(&value, Value::Simple(line) if line.contains("all of step"));
            if !is_mark && !is_shown {
                values.push(value);
            }
            if is_mark {
                return values;
            }
        }
    }
}

fn is_about_subscription(words: &[&str]) -> bool {
    words[0].to_ascii_uppercase().ends_with("SUBSCRIBE")
}

/// Brings into one order what Valkey sends in the order of its hash tables: neighbours that are one
/// message by several patterns, the ends of all subscriptions, the keys of a flush.
fn put_in_order(values: &mut [String]) {
    let class = |value: &String| {
        let kind = value.trim_start_matches(['>', '[']).split(',').next().unwrap_or_default();
        let message = match kind {
            "\"pmessage\"" => value.splitn(3, ", ").nth(2).unwrap_or_default(),
            _ => "",
        };
        (kind.to_owned(), message.to_owned())
    };
    let may_move = ["\"pmessage\"", "\"unsubscribe\"", "\"punsubscribe\"", "\"sunsubscribe\""];
    let groups = values.chunk_by_mut(|a, b| {
        let (a, b) = (class(a), class(b));
        a == b && may_move.contains(&a.0.as_str())
    });
    for group in groups {
        if group.len() > 1 && class(&group[0]).0 != "\"pmessage\"" {
            // Their counts descend in any order of the names.
            let mut names: Vec<String> = group.iter().map(|v| name(v).to_owned()).collect();
            names.sort_unstable();
            for (value, sorted) in group.iter_mut().zip(names) {
                *value = value.replacen(&name(value).to_owned(), &sorted, 1);
            }
        } else {
            group.sort_unstable();
        }
    }
}

/// The second element of a message.
fn name(value: &str) -> &str {
    value.split(", ").nth(1).unwrap_or_default()
}
