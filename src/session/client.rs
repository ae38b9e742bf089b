//! What the server remembers of one client while it is connected.

use std::sync::Arc;

use crate::blocking::Waiter;
use crate::command::{CommandError, Flags, Registered, Result};
use crate::config::Settings;
use crate::resp::{Limits, Protocol};
use crate::server::{Attributes, ClientRecord};

/// Which replies the client wants (CLIENT REPLY).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    On,
    Off,
    /// The next command's reply is left out.
    SkipNext,
    /// The running command's reply is left out.
    Skip,
}

/// How the connection goes on after the running command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Open,
    /// It ends once everything written has been sent.
    AfterReply,
    /// It ends at once, whatever was written.
    Now,
}

/// One connection's state.
pub struct Client {
    /// What other threads may see and change.
    pub record: Arc<ClientRecord>,
    pub db: usize,
    pub protocol: Protocol,
    pub authenticated: bool,
    pub reply_mode: ReplyMode,
    /// Reads do not count as accesses (CLIENT NO-TOUCH).
    pub no_touch: bool,
    /// The connection is not closed to free memory (CLIENT NO-EVICT).
    pub no_evict: bool,
    /// It can follow to another server (CLIENT CAPA REDIRECT).
    pub redirect: bool,
    /// It waits until commands may run again (CLIENT PAUSE).
    pub blocked: bool,
    /// What the last command waits for.
    pub waiter: Option<Arc<Waiter>>,
    /// The command that ran last or is running.
    pub last_command: Option<&'static Registered>,
    /// Commands executed.
    pub commands: u64,
    pub ending: Ending,
}

impl Client {
    pub fn new(record: Arc<ClientRecord>, settings: &Settings) -> Self {
        Client {
            record,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated: settings.requirepass.is_empty(),
            reply_mode: ReplyMode::On,
            no_touch: false,
            no_evict: false,
            redirect: false,
            blocked: false,
            waiter: None,
            last_command: None,
            commands: 0,
            ending: Ending::Open,
        }
    }

    /// Back to the state of a new connection, but for what it has told of itself (RESET).
    pub fn reset(&mut self, settings: &Settings) {
        self.db = 0;
        self.protocol = Protocol::Resp2;
        self.authenticated = settings.requirepass.is_empty();
        self.no_touch = false;
        self.no_evict = false;
        self.record.labels.lock().name.clear();
        if self.reply_mode == ReplyMode::Off {
            self.reply_mode = ReplyMode::On;
        }
    }

    /// What the client's next request may ask for.
    #[inline]
    pub fn limits(&self, settings: &Settings) -> Limits {
        if self.must_authenticate(settings) {
            Limits::UNAUTHENTICATED
        } else {
            Limits::authenticated(settings.proto_max_bulk_len)
        }
    }

    #[inline]
    pub fn must_authenticate(&self, settings: &Settings) -> bool {
        !self.authenticated && !settings.requirepass.is_empty()
    }

    /// Whether the client may run the command now.
    #[inline]
    pub fn may_run(&self, found: &Registered, settings: &Settings) -> Result {
        if self.must_authenticate(settings) && !found.command.flags.contains(Flags::NO_AUTH) {
            return Err(CommandError::NO_AUTH);
        }
        Ok(())
    }

    /// Shows the client's state to other threads.
    #[inline]
    pub fn publish(&self) {
        let record = &self.record;
        let mut attributes = Attributes::empty();
        attributes.set(Attributes::BLOCKED, self.blocked);
        attributes.set(Attributes::CLOSE_AFTER_REPLY, self.ending == Ending::AfterReply);
        attributes.set(Attributes::NO_EVICT, self.no_evict);
        attributes.set(Attributes::NO_TOUCH, self.no_touch);
        attributes.set(Attributes::RESP3, self.protocol == Protocol::Resp3);
        attributes.set(Attributes::REDIRECT, self.redirect);
        record.set_attributes(attributes);
        record.set_last_command(self.last_command.map(|found| found.id));
        record.commands.set(self.commands);
        record.db.set(self.db as u64);
    }
}
