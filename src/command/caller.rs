//! The caller of a command: on whose behalf it runs, and what it may do.
//!
//! A session has one for its client, and so has whatever else runs commands: the replay of a file, a
//! primary's stream, a parked client that is served by another's command. A caller is not a session: it
//! knows nothing of connections. What a command asks of a session (that it ends, that it waits) it leaves
//! in the caller.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::blocking::{Block, ParkedCall};
use super::client::tracking::{self, ClientTracking};
use super::identity::Identity;
use super::observation::BegunCall;
use super::pubsub::{self, Subscriptions};
use super::transaction::Transaction;
use crate::acl::{Acl, User};
use crate::config::{Privilege, Settings};
use crate::resp::{Limits, Protocol};
use crate::state::{Attributes, ClientRecord, Server};

/// Where a caller's commands come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client's connection.
    Client,
    /// The queue of a client's transaction: nothing may wait.
    Exec,
    /// A script that a client runs: nothing may wait.
    Script,
    /// A parked client, whose command is tried within another's unit.
    Unblocked,
    /// The journal of another server or an earlier run: checks that concern clients do not apply.
    Replay,
}

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

/// The caller of commands. See the module's documentation.
pub struct Caller {
    /// What other threads may see and change.
    pub record: Arc<ClientRecord>,
    pub origin: Origin,
    pub db: usize,
    pub protocol: Protocol,
    /// Its user.
    pub identity: Identity,
    pub reply_mode: ReplyMode,
    /// Reads do not count as accesses (CLIENT NO-TOUCH).
    pub no_touch: bool,
    /// The connection is not closed to free memory (CLIENT NO-EVICT).
    pub no_evict: bool,
    /// For its commands nothing expires in `import-mode` (CLIENT IMPORT-SOURCE).
    pub import_source: bool,
    /// It can follow to another server (CLIENT CAPA REDIRECT).
    pub redirect: bool,
    /// It waits: for the end of a pause, or for keys.
    pub waits: bool,
    /// The queue of MULTI, and the watched keys.
    pub transaction: Transaction,
    /// What it has subscribed to; `None` while that is nothing.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// Its tracking of keys, if it has ever used that.
    pub tracking: Option<Box<ClientTracking>>,
    /// It may read from a cluster's replica (READONLY).
    pub readonly: bool,
    /// It is shown all commands (MONITOR).
    pub monitors: bool,
    /// There may be commands that it may not run now. See [`Caller::note_limits`].
    pub(super) limited: bool,
    /// There was no room for more memory before the command, which may run though.
    pub lacks_memory: bool,
    /// The running command asks that the client wait for keys.
    pub block: Option<Block>,
    /// The client's last command, if the client waits for its keys.
    pub parked: Option<Arc<ParkedCall>>,
    /// The number of the command that ran last or is running, in the command table.
    pub last_command: Option<usize>,
    /// Commands executed.
    pub commands: u64,
    /// Bytes of the request that is executed, and of the replies before it.
    pub request_bytes: u64,
    pub reply_start: u64,
    /// What is known of the call that wants to wait.
    pub begun: Option<Box<BegunCall>>,
    pub ending: Ending,
}

impl Caller {
    /// The caller of a new connection.
    pub fn new(record: Arc<ClientRecord>, acl: &Acl) -> Self {
        Caller::of(record, Identity::new(acl))
    }

    /// The caller of a client that has this identity.
    pub fn of(record: Arc<ClientRecord>, identity: Identity) -> Self {
        Caller {
            record,
            origin: Origin::Client,
            db: 0,
            protocol: Protocol::Resp2,
            limited: identity.is_restricted(),
            identity,
            reply_mode: ReplyMode::On,
            no_touch: false,
            no_evict: false,
            import_source: false,
            redirect: false,
            waits: false,
            transaction: Transaction::default(),
            subscriptions: None,
            tracking: None,
            readonly: false,
            monitors: false,
            lacks_memory: false,
            block: None,
            parked: None,
            last_command: None,
            commands: 0,
            request_bytes: 0,
            reply_start: 0,
            begun: None,
            ending: Ending::Open,
        }
    }

    /// Back to the state of a new connection, but for what it has told of itself (RESET). The
    /// transaction is ended apart: its watches need the locks of their keys.
    pub fn reset(&mut self, server: &Server) {
        self.leave(server);
        self.db = 0;
        self.protocol = Protocol::Resp2;
        self.identity = Identity::new(&server.acl);
        self.record.set_user(&self.identity.user().name);
        self.no_touch = false;
        self.no_evict = false;
        self.readonly = false;
        self.record.labels.lock().name.clear();
        if self.reply_mode == ReplyMode::Off {
            self.reply_mode = ReplyMode::On;
        }
    }

    /// Ends everything that others send it: subscriptions, tracking, MONITOR.
    pub fn leave(&mut self, server: &Server) {
        pubsub::leave(self, server);
        tracking::leave(self, server);
        if std::mem::take(&mut self.monitors) {
            server.monitors.remove(&self.record);
        }
    }

    /// Whether there may be commands that it may not run now, or that are queued. Almost no client has any, so
    /// admission asks this first.
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.limited
    }

    /// Takes notice of what the last command may have changed of what the caller may do. To be called after every
    /// command with a flag of [`Flags::CHANGES_CALLER`].
    pub fn note_limits(&mut self) {
        self.limited = self.identity.is_restricted()
            || self.transaction.is_queueing()
            || self.is_subscriber()
            || self.monitors;
    }

    /// Whether it may run only the commands that have to do with subscriptions, and few others.
    #[inline]
    pub fn is_subscriber(&self) -> bool {
        self.subscriptions.is_some() && self.protocol == Protocol::Resp2
    }

    /// What the client's next request may ask for.
    #[inline]
    pub fn limits(&self, settings: &Settings) -> Limits {
        if self.identity.is_anonymous() {
            Limits::UNAUTHENTICATED
        } else {
            Limits::authenticated(settings.proto_max_bulk_len)
        }
    }

    /// It has authenticated as `user`.
    pub fn become_user(&mut self, user: Arc<User>, acl: &Acl) {
        self.record.set_user(&user.name);
        self.identity = Identity::authenticated(user, acl);
    }

    /// Whether a parameter like `enable-debug-command` allows this client what it is about.
    pub fn is_granted(&self, privilege: Privilege) -> bool {
        match privilege {
            Privilege::No => false,
            Privilege::Yes => true,
            Privilege::Local => self.record.info.peer.is_local(),
        }
    }

    /// Whether a command that finds nothing may wait for it.
    pub fn may_wait(&self) -> bool {
        self.origin == Origin::Client
    }

    /// Shows the client's state to other threads.
    #[inline]
    pub fn publish(&mut self) {
        let record = &self.record;
        let mut attributes = Attributes::empty();
        attributes.set(Attributes::BLOCKED, self.waits);
        attributes.set(Attributes::CLOSE_AFTER_REPLY, self.ending == Ending::AfterReply);
        attributes.set(Attributes::NO_EVICT, self.no_evict);
        attributes.set(Attributes::NO_TOUCH, self.no_touch);
        attributes.set(Attributes::IMPORT_SOURCE, self.import_source);
        attributes.set(Attributes::RESP3, self.protocol == Protocol::Resp3);
        attributes.set(Attributes::REDIRECT, self.redirect);
        attributes.set(Attributes::PUBSUB, self.subscriptions.is_some());
        attributes.set(Attributes::READONLY, self.readonly);
        attributes.set(Attributes::MONITOR, self.monitors);
        if let Some(tracking) = self.tracking.as_deref() {
            attributes.set(Attributes::TRACKING, tracking.is_on());
            attributes.set(Attributes::BROADCASTS, tracking.broadcasts());
            attributes.set(Attributes::REDIRECT_BROKEN, tracking.is_broken());
            record.tracking_redirect.store(tracking.redirect(), Ordering::Relaxed);
            record.tracking_memory.set(tracking.memory() as u64);
        }
        self.transaction.publish(record, &mut attributes);
        record.set_attributes(attributes);
        record.set_last_command(self.last_command);
        record.commands.set(self.commands);
        record.db.set(self.db as u64);
    }
}
