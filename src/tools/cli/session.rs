//! The connection of a command-line session: sends commands, reads replies, and restores the
//! connection's state (the user, the protocol, the database) after a reconnection.

use std::io::{self, Write};
use std::time::Duration;

use verbena_transport::{Address, Target};

use super::format::{Format, Style};
use super::options::Options;
use super::redirection::{MAX_REDIRECTIONS, Redirection};
use super::subscriptions::{Subscriptions, is_published};
use crate::tools::client::{Client, ConnectError, Reason, Value};

/// A session. It connects when it is first needed, and again after a connection has broken.
pub struct Session {
    target: Target,
    client: Option<Client>,
    /// The most time that a connection may take.
    timeout: Option<Duration>,
    follows_redirections: bool,
    auth: Option<Vec<Vec<u8>>>,
    resp3: bool,
    db: u32,
    in_transaction: bool,
    subscriptions: Subscriptions,
    pub format: Format,
    show_pushes: bool,
    /// The destination of the text of an error reply: the standard error, and not the output.
    errors_apart: bool,
}

/// The result of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The server answered with an error.
    Failed,
    /// There is no connection any more. The reason has been shown.
    Disconnected,
    /// MONITOR: from here on the server sends without requests. See [`Session::stream`].
    Streaming,
}

/// Replies to these commands are texts for people: they are written raw, whatever the style. Each
/// stands with the number of arguments that it must have for that, or 0 for any.
const TEXT_COMMANDS: &[(&[&str], usize)] = &[
    (&["info"], 0),
    (&["lolwut"], 0),
    (&["debug", "htstats"], 0),
    (&["debug", "htstats-key"], 0),
    (&["debug", "client-eviction"], 0),
    (&["memory", "malloc-stats"], 0),
    (&["memory", "doctor"], 0),
    (&["cluster", "nodes"], 2),
    (&["cluster", "info"], 2),
    (&["client", "list"], 0),
    (&["client", "info"], 0),
    (&["latency", "graph"], 3),
    (&["latency", "doctor"], 2),
    (&["proxy", "info"], 0),
];

impl Session {
    pub fn new(options: &Options, terminal: bool) -> Session {
        let auth = options.server.auth();
        Session {
            target: options.server.target(),
            client: None,
            timeout: options.timeout.filter(|timeout| !timeout.is_zero()),
            follows_redirections: options.cluster,
            auth: auth.map(|args| args.into_iter().map(|arg| arg.as_bytes().to_vec()).collect()),
            resp3: options.wants_resp3(),
            db: options.db,
            in_transaction: false,
            subscriptions: Subscriptions::default(),
            format: options.format(),
            show_pushes: options.show_pushes.unwrap_or(terminal),
            errors_apart: false,
        }
    }

    /// Writes error replies to the standard error.
    pub fn write_errors_apart(&mut self) {
        self.errors_apart = true;
    }

    pub fn is_connected(&self) -> bool {
        self.client.is_some()
    }

    /// Whether messages may come at any time.
    pub fn is_subscribed(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Connects elsewhere, as the same user.
    pub async fn connect_to(&mut self, host: String, port: u16) {
        self.retarget(host, port);
        self.db = 0;
        self.connect().await;
    }

    /// Changes the server, over the same transport unless that was a Unix socket.
    fn retarget(&mut self, host: String, port: u16) {
        match &mut self.target.address {
            Address::Host { name: old_host, port: old_port } => {
                (*old_host, *old_port) = (host, port);
            }
            Address::Path(_) => self.target = Target::tcp(host, port),
        }
        self.disconnect();
    }

    /// Connects to the node that a redirection names; false if there is no connection.
    async fn follow(&mut self, redirection: Redirection, out: &mut impl Write) -> io::Result<bool> {
        let Redirection { asks, slot, host, port } = redirection;
        let host = host.unwrap_or_else(|| match &self.target.address {
            Address::Host { name, .. } => name.clone(),
            Address::Path(_) => "127.0.0.1".to_owned(),
        });
        if self.format.style == Style::Terminal {
            writeln!(out, "-> Redirected to slot [{slot}] located at {host}:{port}")?;
        }
        self.retarget(host, port);
        if !self.connect().await {
            return Ok(false);
        }
        let Some(client) = self.client.as_mut().filter(|_| asks) else { return Ok(true) };
        match client.call(&["ASKING"]).await {
            Ok(_) => Ok(true),
            Err(error) => {
                self.broken(&error);
                Ok(false)
            }
        }
    }

    /// Connects and sends the user, the protocol and the database. Errors are shown on the standard
    /// error; true if there is a connection, even if the server has refused the user or the database.
    pub async fn connect(&mut self) -> bool {
        match self.try_connect().await {
            Ok(client) => {
                self.client = Some(client);
                true
            }
            Err(error) => {
                eprintln!("{error}");
                false
            }
        }
    }

    /// As [`connect`](Self::connect), but it does not matter whether there is a server.
    pub async fn try_connecting(&mut self) -> bool {
        self.client = self.try_connect().await.ok();
        self.client.is_some()
    }

    async fn try_connect(&mut self) -> Result<Client, ConnectError> {
        let connection = Client::connect(&self.target);
        let mut client = match self.timeout {
            None => connection.await?,
            Some(timeout) => {
                let late = |_| io::Error::from_raw_os_error(libc::ETIMEDOUT);
                let result = tokio::time::timeout(timeout, connection).await.map_err(late);
                result.map_err(|error| ConnectError { target: self.target.clone(), error })??
            }
        };
        let failed = |error| ConnectError { target: self.target.clone(), error };
        self.in_transaction = false;
        if let Some(auth) = &self.auth
            && let Some(error) = client.call(auth).await.map_err(failed)?.as_error()
        {
            eprintln!("AUTH failed: {error}");
        }
        if self.resp3
            && let Some(error) = client.call(&["HELLO", "3"]).await.map_err(failed)?.as_error()
        {
            eprintln!("HELLO 3 failed: {error}");
            self.resp3 = false;
        }
        let db = self.db.to_string();
        if self.db != 0
            && let Some(error) = client.call(&["SELECT", &db]).await.map_err(failed)?.as_error()
        {
            eprintln!("SELECT {db} failed: {error}");
            self.db = 0;
        }
        Ok(client)
    }

    /// The connection, made if there is none.
    pub async fn client(&mut self) -> Option<&mut Client> {
        if self.client.is_none() && !self.connect().await {
            return None;
        }
        self.client.as_mut()
    }

    pub fn disconnect(&mut self) {
        self.client = None;
        self.in_transaction = false;
        self.subscriptions.clear();
    }

    /// Shows why the connection has broken, and forgets it.
    pub fn broken(&mut self, error: &io::Error) -> Outcome {
        eprintln!("Error: {}", Reason(error));
        self.disconnect();
        Outcome::Disconnected
    }

    /// Sends a command and writes its reply to `out`, where the redirections lead if they are followed.
    pub async fn execute(&mut self, args: &[Vec<u8>], out: &mut impl Write) -> io::Result<Outcome> {
        let mut redirections = 0;
        loop {
            let reply = match self.exchange(args, out).await? {
                Ok(reply) => reply,
                Err(outcome) => return Ok(outcome),
            };
            let redirection = match self.follows_redirections && redirections < MAX_REDIRECTIONS {
                true => Redirection::read(&reply),
                false => None,
            };
            let Some(redirection) = redirection else { return self.answered(args, reply, out) };
            redirections += 1;
            if !self.follow(redirection, out).await? {
                return Ok(Outcome::Disconnected);
            }
        }
    }

    /// Sends a command and waits for its reply, or for an outcome without one. Pushes that come before it
    /// are written.
    async fn exchange(
        &mut self,
        args: &[Vec<u8>],
        out: &mut impl Write,
    ) -> io::Result<Result<Value, Outcome>> {
        let Some(client) = self.client().await else { return Ok(Err(Outcome::Disconnected)) };
        client.send(args);
        let mut confirmations = self.subscriptions.confirmations(args);
        loop {
            let value = match self.receive().await {
                Ok(value) => value,
                // A server that shuts down replies by closing the connection.
                Err(_) if is(args, "shutdown") => {
                    self.disconnect();
                    return Ok(Err(Outcome::Done));
                }
                Err(error) => return Ok(Err(self.broken(&error))),
            };
            if !self.is_push(&value, confirmations > 0) {
                return Ok(Ok(value));
            }
            self.write_push(&value, out)?;
            if confirmations > 0 && confirms(args, &value) {
                confirmations -= 1;
                if confirmations == 0 {
                    return Ok(Err(Outcome::Done));
                }
            }
        }
    }

    /// Writes the reply to a command, and records its effect on the connection.
    fn answered(
        &mut self,
        args: &[Vec<u8>],
        reply: Value,
        out: &mut impl Write,
    ) -> io::Result<Outcome> {
        self.remember(args, &reply);
        self.write_reply(args, &reply, out)?;
        if is(args, "quit") {
            self.disconnect();
        }
        Ok(match reply {
            Value::Error(_) => Outcome::Failed,
            _ if is(args, "monitor") && reply.as_bytes() == Some(b"OK") => Outcome::Streaming,
            _ => Outcome::Done,
        })
    }

    /// The next value from the server: first those that have come while there was no command.
    pub async fn receive(&mut self) -> io::Result<Value> {
        match &mut self.client {
            Some(client) => match client.next_push() {
                Some(value) => Ok(value),
                None => client.receive().await,
            },
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes the pushes that have come while there was no command.
    pub fn write_collected(&mut self, out: &mut impl Write) -> io::Result<()> {
        while let Some(value) = self.client.as_mut().and_then(Client::next_push) {
            self.write_unasked(&value, out)?;
        }
        out.flush()
    }

    /// Whether a value answers no command. RESP2 does not say so: a message, or the confirmation of a
    /// subscription, is an array that the replies to the commands of a subscriber cannot be.
    fn is_push(&self, value: &Value, subscribing: bool) -> bool {
        match value {
            Value::Push(_) => true,
            Value::Array(items) => {
                !self.resp3 && (subscribing || self.is_subscribed()) && is_published(items)
            }
            _ => false,
        }
    }

    /// Writes what the server sends, for ever: ends when the connection does.
    pub async fn stream(&mut self, out: &mut impl Write) -> io::Result<Outcome> {
        out.flush()?;
        while self.client.is_some() {
            match self.receive().await {
                Ok(value) => {
                    self.write_unasked(&value, out)?;
                    out.flush()?;
                }
                Err(error) => return Ok(self.broken(&error)),
            }
        }
        Ok(Outcome::Disconnected)
    }

    /// Writes a value that came while no reply was awaited.
    pub fn write_unasked(&mut self, value: &Value, out: &mut impl Write) -> io::Result<()> {
        match value {
            value if self.is_push(value, false) => self.write_push(value, out),
            value => out.write_all(&self.format.reply(value)),
        }
    }

    /// Keeps the connection alive while there is no command; the pushes that come are shown with
    /// the next one. Never ends; can be cancelled.
    pub async fn idle(&mut self) {
        if let Some(client) = &mut self.client {
            // The next command will get the same error, and show it.
            let _ = client.collect_pushes().await;
        }
        std::future::pending().await
    }

    /// As [`idle`](Self::idle), but messages are written as they come.
    pub async fn idle_with_messages(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.is_subscribed() {
            self.stream(out).await?;
        }
        self.idle().await;
        Ok(())
    }

    /// Records and shows a push: each one to a subscriber, who waits for them, else as the options say.
    fn write_push(&mut self, push: &Value, out: &mut impl Write) -> io::Result<()> {
        let items = push.as_slice().unwrap_or_default();
        let shown = self.show_pushes || self.is_subscribed() || is_published(items);
        self.subscriptions.record(items);
        if shown { out.write_all(&self.format.push(push)) } else { Ok(()) }
    }

    fn write_reply(&self, args: &[Vec<u8>], reply: &Value, out: &mut impl Write) -> io::Result<()> {
        match reply {
            Value::Error(text) if self.errors_apart => {
                let mut err = io::stderr();
                err.write_all(text)?;
                err.write_all(b"\n")
            }
            reply if is_text_command(args) => out.write_all(&self.format.text(reply)),
            reply => out.write_all(&self.format.reply(reply)),
        }
    }

    /// Records a command that changes the state of the connection.
    fn remember(&mut self, args: &[Vec<u8>], reply: &Value) {
        if is(args, "exec") || is(args, "discard") {
            self.in_transaction = false;
        }
        if matches!(reply, Value::Error(_)) || reply.as_bytes() == Some(b"QUEUED") {
            return;
        }
        let number = |arg: &Vec<u8>| std::str::from_utf8(arg).ok()?.parse().ok();
        if is(args, "select") {
            self.db = args.get(1).and_then(number).unwrap_or(self.db);
        } else if is(args, "auth") {
            self.auth = Some(args.to_vec());
        } else if is(args, "hello") {
            self.resp3 = match args.get(1).and_then(number) {
                Some(version) => version == 3,
                None => self.resp3,
            };
        } else if is(args, "multi") {
            self.in_transaction = true;
        } else if is(args, "reset") {
            (self.db, self.resp3, self.in_transaction) = (0, false, false);
            self.subscriptions.clear();
        } else if is(args, "exec") {
            // The first confirmation of a SUBSCRIBE among the commands stands in the reply.
            for item in reply.as_slice().unwrap_or_default() {
                self.subscriptions.record(item.as_slice().unwrap_or_default());
            }
        }
    }

    /// The prompt.
    pub fn prompt(&self) -> String {
        if self.client.is_none() {
            return "not connected> ".to_owned();
        }
        let mut prompt = match &self.target.address {
            Address::Host { name, port } if name.contains(':') => format!("[{name}]:{port}"),
            Address::Host { name, port } => format!("{name}:{port}"),
            Address::Path(path) => format!("verbena {}", path.display()),
        };
        if self.db != 0 {
            prompt.push_str(&format!("[{}]", self.db));
        }
        if self.in_transaction {
            prompt.push_str("(TX)");
        }
        if self.is_subscribed() {
            prompt.push_str("(subscribed mode)");
        }
        prompt.push_str("> ");
        prompt
    }
}

fn is(args: &[Vec<u8>], name: &str) -> bool {
    args.first().is_some_and(|arg| arg.eq_ignore_ascii_case(name.as_bytes()))
}

fn is_text_command(args: &[Vec<u8>]) -> bool {
    TEXT_COMMANDS.iter().any(|(words, count)| {
        args.len() >= words.len()
            && (*count == 0 || args.len() == *count)
            && words.iter().zip(args).all(|(word, arg)| arg.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// Whether a push confirms a subscription's begin or end for this command.
fn confirms(args: &[Vec<u8>], push: &Value) -> bool {
    let items = push.as_slice().unwrap_or_default();
    let kind = items.first().and_then(Value::as_bytes);
    kind.is_some_and(|kind| args.first().is_some_and(|name| name.eq_ignore_ascii_case(kind)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn args(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn session(line: &str) -> Session {
        Session::new(&Options::try_parse_from(line.split(' ')).unwrap(), false)
    }

    #[test]
    fn commands_that_change_the_connection_are_recorded() {
        let ok = Value::Simple("OK".into());
        let mut session = session("c -n 2");
        assert_eq!(session.db, 2);
        session.remember(&args("SELECT 3"), &Value::Error("ERR".into()));
        assert_eq!(session.db, 2);
        session.remember(&args("Select 3"), &ok);
        session.remember(&args("multi"), &ok);
        assert_eq!((session.db, session.in_transaction), (3, true));
        session.remember(&args("select 4"), &Value::Simple("QUEUED".into()));
        session.remember(&args("exec"), &Value::Error("EXECABORT".into()));
        assert_eq!((session.db, session.in_transaction), (3, false));
        session.remember(&args("hello 3"), &Value::Map(vec![]));
        session.remember(&args("auth user password"), &ok);
        assert!(session.resp3);
        assert_eq!(session.auth, Some(args("auth user password")));
        session.remember(&args("reset"), &Value::Simple("RESET".into()));
        assert_eq!((session.db, session.resp3), (0, false));
    }

    #[test]
    fn some_texts_are_written_as_they_are() {
        for line in ["INFO", "info server", "client LIST", "memory doctor", "latency graph x"] {
            assert!(is_text_command(&args(line)), "{line}");
        }
        for line in [
            "client",
            "cluster info x",
            "client getname",
            "memory stats",
            "get info",
            "latency graph",
        ] {
            assert!(!is_text_command(&args(line)), "{line}");
        }
    }
}
