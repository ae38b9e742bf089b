//! A script that several clients of both servers play, line by line, with their replies compared.
//!
//! A line begins with the client's letter and a sign:
//!
//! | line | meaning |
//! | --- | --- |
//! | `A SET k v` | runs the command and compares the replies byte for byte; `''` is an empty argument |
//! | `A+ MULTI; SET k v; EXEC` | sends the commands in one write, then compares as many replies |
//! | `A: SET k v` | sends the command and reads nothing |
//! | `A~ BLPOP k 0` | sends the command and waits until the server says that the client is blocked |
//! | `A<` | compares one more reply |
//! | `A?` | compares the client's line of CLIENT LIST, but for what depends on the server |
//! | `A.` | ends the connection and waits until the server knows |
//! | `! name …` | compares these fields of INFO, with their values |
//! | `@ ms` | waits until keys of so many milliseconds have expired |

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::common::{Client, Server, Value};

const PATIENCE: Duration = Duration::from_secs(20);

/// Fields of CLIENT LIST that both servers must agree on.
const COMPARED: &[&str] = &["name", "flags", "db", "multi", "watch", "cmd", "resp", "user"];

/// Both servers, and the clients of the script.
pub struct Stage {
    sides: [Side; 2],
    protocol: &'static str,
}

struct Side {
    server: Server,
    control: Client,
    clients: BTreeMap<char, (Client, i64)>,
}

impl Stage {
    /// Valkey and the server under test, both started with these options.
    pub fn new(options: &[&str]) -> Stage {
        Stage::start(options, None)
    }

    /// The two servers with a password, which the script's clients do not know yet.
    pub fn with_password(password: &str) -> Stage {
        Stage::start(&["--requirepass", password], Some(password))
    }

    fn start(options: &[&str], password: Option<&str>) -> Stage {
        let mut all = vec!["--enable-debug-command", "yes"];
        all.extend(options);
        let with_workers = [&all[..], &["--io-threads", "4"]].concat();
        let sides = [Server::oracle(&all), Server::start(&with_workers)].map(|server| {
            let mut control = server.connect();
            if let Some(password) = password {
                assert!(control.run(&format!("AUTH {password}")).is("OK"));
            }
            control.run("DEBUG SET-ACTIVE-EXPIRE 0");
            Side { server, control, clients: BTreeMap::new() }
        });
        Stage { sides, protocol: "2" }
    }

    /// Plays the script once with RESP2 and once with RESP3 clients, each time from empty servers.
    pub fn play_in_both_protocols(&mut self, script: &str) {
        for protocol in ["2", "3"] {
            self.protocol = protocol;
            self.clear();
            self.play(script);
        }
    }

    /// Removes all data and all clients.
    pub fn clear(&mut self) {
        for side in &mut self.sides {
            let names: Vec<char> = side.clients.keys().copied().collect();
            names.into_iter().for_each(|name| side.disconnect(name));
            assert!(side.control.run("FLUSHALL").is("OK"));
        }
    }

    /// Plays the script; the replies of Valkey, one for each that was compared.
    ///
    /// # Panics
    /// If the servers differ.
    pub fn play(&mut self, script: &str) -> Vec<String> {
        let mut replies = Vec::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let [theirs, ours] = self.sides.each_mut().map(|side| side.play(line, self.protocol));
            assert_eq!(ours, theirs, "{line:?}, RESP{}, in:\n{script}", self.protocol);
            replies.extend(theirs);
        }
        replies
    }

    pub fn servers(&self) -> [&Server; 2] {
        self.sides.each_ref().map(|side| &side.server)
    }
}

impl Side {
    fn client(&mut self, name: char, protocol: &str) -> &mut (Client, i64) {
        let server = &self.server;
        self.clients.entry(name).or_insert_with(|| {
            let mut client = server.connect();
            if protocol == "3" {
                client.run("HELLO 3");
            }
            // Without a password there is none.
            let id = match client.run("CLIENT ID") {
                Value::Integer(id) => id,
                _ => 0,
            };
            (client, id)
        })
    }

    /// Plays one line; the replies to it.
    fn play(&mut self, line: &str, protocol: &str) -> Vec<String> {
        let (actor, rest) = line.split_at(1);
        let actor = actor.chars().next().expect("a letter");
        let (sign, words) = rest.split_at(rest.chars().next().map_or(0, char::len_utf8));
        let words = words.trim();
        match actor {
            '!' => return words.split(' ').map(|name| self.info(name)).collect(),
            '@' => {
                // Time itself is what is waited for.
                let ms: u64 = words.parse().expect("milliseconds");
                std::thread::sleep(Duration::from_millis(ms + 3));
                return Vec::new();
            }
            _ => {}
        }
        let (client, id) = self.client(actor, protocol);
        match sign {
            " " => {
                client.send(&split(words));
                vec![text(&client.read_raw())]
            }
            "+" => {
                let commands: Vec<_> = words.split(';').map(str::trim).collect();
                let requests: Vec<u8> = commands.iter().flat_map(|words| request(words)).collect();
                client.write(&requests);
                commands.iter().map(|_| text(&client.read_raw())).collect()
            }
            ":" => {
                client.send(&split(words));
                Vec::new()
            }
            "~" => {
                client.send(&split(words));
                let id = *id;
                self.control.wait_until_blocked(id);
                Vec::new()
            }
            "<" => vec![text(&client.read_raw())],
            "?" => {
                let id = *id;
                vec![compared_fields(&self.control.run(&format!("CLIENT LIST ID {id}")).text())]
            }
            "." => {
                self.disconnect(actor);
                Vec::new()
            }
            other => panic!("no line begins with {other:?}: {line:?}"),
        }
    }

    fn disconnect(&mut self, name: char) {
        let (client, id) = self.clients.remove(&name).expect("a client of that name");
        drop(client);
        let deadline = Instant::now() + PATIENCE;
        while !self.control.run(&format!("CLIENT LIST ID {id}")).text().is_empty() {
            assert!(Instant::now() < deadline, "client {name} is never gone");
        }
    }

    /// The field of INFO with its value; nothing where it is not there.
    fn info(&mut self, name: &str) -> String {
        let info = self.control.run("INFO everything").text();
        let line = info.lines().find(|line| line.split(':').next() == Some(name));
        let line = line.unwrap_or_default();
        // Times are the server's own.
        line.split(',').filter(|part| !part.contains("usec")).collect::<Vec<_>>().join(",")
    }
}

fn compared_fields(line: &str) -> String {
    let is_compared =
        |field: &&str| field.split_once('=').is_some_and(|(name, _)| COMPARED.contains(&name));
    line.split(' ').filter(is_compared).collect::<Vec<_>>().join(" ")
}

fn split(words: &str) -> Vec<&str> {
    words.split(' ').map(|word| if word == "''" { "" } else { word }).collect()
}

/// The request of some words.
pub fn request(words: &str) -> Vec<u8> {
    let words = split(words);
    let mut request = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
    request.into_bytes()
}

fn text(reply: &[u8]) -> String {
    String::from_utf8_lossy(reply).into_owned()
}
