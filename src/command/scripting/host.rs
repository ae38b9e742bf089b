//! Running a script: what it asks of the server.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use verbena_transport::event_loop::run_others;

use crate::acl::Context;
use crate::command::{
    Caller, CommandError, Cx, Flags, Group, Origin, Registered, Result, call, keys_of, monitor,
    permission, table,
};
use crate::config::Settings;
use crate::keyspace::journal::Targets;
use crate::log;
use crate::lua::{Function, Host, Interrupt, LogLevel, ScriptFlags, State};
use crate::resp::{Args, BorrowedArgs, Protocol, Reply};
use crate::script::{Digest, FunctionInfo, RunningScript, ScriptCache, ScriptKind, Shebang};
use crate::state::{Server, Switch};

/// Bytes for the replies to a script's calls that a thread keeps.
const SPACE: usize = 16 * 1024;

thread_local! {
    /// The memory for the replies to a script's calls.
    static REPLIES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A script or a function that is to run.
pub struct Program<'a> {
    function: &'a Function,
    /// `None`: it says nothing of itself, so it may do what it could before there were flags.
    flags: Option<ScriptFlags>,
    name: Name<'a>,
}

/// How a program is called when others are told of it.
enum Name<'a> {
    Script(Digest),
    Function(&'a [u8]),
}

impl<'a> Program<'a> {
    /// The script with that digest, if there is one.
    pub fn script(cache: &'a mut ScriptCache, digest: &Digest) -> Option<Self> {
        let script = cache.used(digest)?;
        Some(Program {
            function: &script.function,
            flags: script.flags,
            name: Name::Script(*digest),
        })
    }

    pub fn function(function: &'a FunctionInfo) -> Self {
        Program {
            function: &function.function,
            flags: Some(function.flags),
            name: Name::Function(&function.name),
        }
    }
}

/// What the script says of itself that a command would run; `None` if it says nothing, or is not there.
pub fn flags_of(server: &Server, found: &Registered, args: Args<'_>) -> Option<ScriptFlags> {
    let engine = || server.scripts.engine();
    match found.command.name {
        "eval" | "eval_ro" => Shebang::read(args.at(1)).ok()?.0.flags,
        "evalsha" | "evalsha_ro" => engine().cache.get(&Digest::parse(args.at(1))?)?.flags,
        _ => Some(engine().libraries.get(args.at(1))?.flags),
    }
}

/// Runs a program, and writes what it returns. `args` are those of the command that runs it, `parts` the keys and
/// the other arguments among them.
pub fn run(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    out: &mut Reply<'_>,
    state: &mut State,
    program: Program<'_>,
    read_only: bool,
    parts: (Args<'_>, Args<'_>),
) -> Result {
    if cx.server.monitors.is_watched()
        && let Ok(found) = table().resolve(args)
    {
        monitor::show_script(&cx.env(), cx.caller, found, args);
    }
    admit(cx, &program, read_only)?;
    let before = Before::enter(cx.caller);
    let began = cx.clock.raw();
    let mut host = ScriptHost {
        reads_only: read_only
            || program.flags.is_some_and(|flags| flags.contains(ScriptFlags::NO_WRITES)),
        may_exceed_memory: program.flags.is_some_and(|flags| !flags.needs_memory()),
        has_written: false,
        is_shown: false,
        is_slow: false,
        has_errors: false,
        began,
        name: &program.name,
        args,
        replies: REPLIES.take(),
        cx,
    };
    let (keys, rest) = parts;
    let result = match program.name {
        Name::Script(_) => state.run(&mut host, program.function, keys, rest, out),
        Name::Function(_) => state.call_function(&mut host, program.function, keys, rest, out),
    };
    let (is_shown, has_errors) = (host.is_shown, host.has_errors);
    let mut replies = std::mem::take(&mut host.replies);
    if has_errors
        && result.is_ok()
        && let Ok(found) = table().resolve(args)
    {
        cx.stats.commands[found.id].failed.add(1);
    }
    if is_shown {
        cx.server.scripts.running.end();
    }
    if replies.len() > SPACE {
        replies.truncate(SPACE);
        replies.shrink_to_fit();
    }
    REPLIES.set(replies);
    if let Some(records) = cx.unit.records() {
        records.set_targets(Targets::all());
    }
    before.leave(cx.caller);
    // Its effects are journaled, each by itself.
    cx.journal_nothing();
    result.map_err(|error| {
        let text = CommandError::from(error.text);
        if error.is_counted { text.counted() } else { text }
    })
}

/// Whether there was no room for more memory before the script.
fn lacks_memory(cx: &Cx<'_>) -> bool {
    cx.settings.maxmemory > 0 && cx.caller.lacks_memory
}

/// Whether a program may run now.
fn admit(cx: &Cx<'_>, program: &Program<'_>, read_only: bool) -> Result {
    let Some(flags) = program.flags else { return Ok(()) };
    if read_only && !flags.contains(ScriptFlags::NO_WRITES) {
        return Err("ERR Can not execute a script with write flag using *_ro command.".into());
    }
    if lacks_memory(cx) && flags.needs_memory() {
        return Err(
            "OOM allow-oom flag is not set on the script, can not run it when used memory > \
                    'maxmemory'"
                .into(),
        );
    }
    Ok(())
}

/// What a script's calls change of their caller, as it was before.
struct Before {
    origin: Origin,
    db: usize,
    protocol: Protocol,
    commands: u64,
    request_bytes: u64,
    reply_start: u64,
}

impl Before {
    fn enter(caller: &mut Caller) -> Before {
        let before = Before {
            origin: caller.origin,
            db: caller.db,
            protocol: caller.protocol,
            commands: caller.commands,
            request_bytes: caller.request_bytes,
            reply_start: caller.reply_start,
        };
        caller.origin = Origin::Script;
        caller.request_bytes = 0;
        caller.reply_start = 0;
        before
    }

    fn leave(self, caller: &mut Caller) {
        let Before { origin, db, protocol, commands, request_bytes, reply_start } = self;
        caller.origin = origin;
        caller.db = db;
        caller.protocol = protocol;
        caller.commands = commands;
        caller.request_bytes = request_bytes;
        caller.reply_start = reply_start;
    }
}

struct ScriptHost<'h, 'c> {
    cx: &'h mut Cx<'c>,
    name: &'h Name<'h>,
    /// Of the command that runs the script.
    args: Args<'h>,
    /// It may call no command that changes data.
    reads_only: bool,
    /// It may call commands that need memory where there is none left.
    may_exceed_memory: bool,
    /// It has called a command that may change data.
    has_written: bool,
    /// Others can be told of it.
    is_shown: bool,
    /// It has run for so long that others do not wait for its end.
    is_slow: bool,
    /// There are errors within its reply.
    has_errors: bool,
    /// When it began, in ticks.
    began: u64,
    /// Memory for the reply to a call.
    replies: Vec<u8>,
}

impl Host for ScriptHost<'_, '_> {
    fn call(&mut self, arguments: &[&[u8]], protocol: Protocol) -> &[u8] {
        let borrowed = BorrowedArgs::new(arguments);
        let args = borrowed.args();
        let len = match self.admit(args) {
            Ok(found) => self.execute(found, args, protocol),
            Err(error) => self.refuse(&error),
        };
        &self.replies[..len]
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        log_message(level, text);
    }

    fn set_replication(&mut self, flags: u8) {
        if let Some(records) = self.cx.unit.records() {
            records.set_targets(Targets::from_bits_truncate(flags));
        }
    }

    fn may_call(&mut self, arguments: &[&[u8]]) -> Option<bool> {
        let borrowed = BorrowedArgs::new(arguments);
        let args = borrowed.args();
        let found = table().resolve(args).ok()?;
        found.check_arity(args).ok()?;
        let caller = &*self.cx.caller;
        let is_allowed = !caller.identity.is_restricted()
            || permission::check_caller(self.cx.server, caller, found, args).is_ok();
        Some(is_allowed)
    }

    fn register(&mut self, _: crate::lua::Registration<'_>) -> Result<(), Vec<u8>> {
        Err(b"ERR server.register_function can only be called on FUNCTION LOAD command".to_vec())
    }

    fn note_error(&mut self, text: &[u8]) {
        self.has_errors = true;
        self.cx.stats.error(&CommandError::from(text.to_vec()));
    }

    fn interrupt(&mut self) -> Interrupt {
        if !self.is_shown {
            let took = self.took();
            match patience(self.cx.settings) {
                // Before others are told, so that the first of them can end it.
                Some(patience) if took >= patience * 3 / 4 => self.show(took),
                _ => return Interrupt::Continue,
            }
        }
        if !self.is_slow {
            let took = self.took();
            if patience(self.cx.settings).is_none_or(|patience| took < patience) {
                return Interrupt::Continue;
            }
            self.note_slow(took);
        }
        // The other connections of this thread are answered, or they could not end the script.
        if let Err(error) = run_others() {
            log::warning(format_args!("Polling during a script: {error}"));
        }
        if !self.cx.server.scripts.running.is_killed() {
            return Interrupt::Continue;
        }
        match self.name {
            Name::Script(_) => {
                log::notice("Lua script killed by user with SCRIPT KILL.");
                Interrupt::Stop("ERR Script killed by user with SCRIPT KILL.")
            }
            Name::Function(_) => {
                log::notice("Lua function killed by user with FUNCTION KILL.");
                Interrupt::Stop("ERR Script killed by user with FUNCTION KILL.")
            }
        }
    }
}

/// How long a script may run before others are told that it does; `None`: for ever.
pub fn patience(settings: &Settings) -> Option<Duration> {
    u64::try_from(settings.busy_reply_threshold)
        .ok()
        .filter(|milliseconds| *milliseconds > 0)
        .map(Duration::from_millis)
}

impl ScriptHost<'_, '_> {
    /// The command that the script calls, if it may.
    fn admit(&mut self, args: Args<'_>) -> Result<&'static Registered> {
        let found = match table().resolve(args) {
            Ok(found) => found,
            Err(_) => return Err("ERR Unknown command called from script".into()),
        };
        let admitted = self.admit_found(found, args);
        if admitted.is_err() {
            self.cx.stats.commands[found.id].rejected.add(1);
        }
        admitted.map(|()| found)
    }

    fn admit_found(&mut self, found: &'static Registered, args: Args<'_>) -> Result {
        let flags = found.command.flags;
        if !found.command.accepts(args.len()) {
            return Err("ERR Wrong number of args calling command from script".into());
        }
        // One of these would want the engine, which this script has.
        let is_possible = found.command.group != Group::Scripting;
        let is_denied = || self.cx.server.switches.is_on(Switch::ScriptDenials);
        if flags.contains(Flags::NOSCRIPT) && (!is_possible || is_denied()) {
            return Err("ERR This Valkey command is not allowed from script".into());
        }
        let writes = flags.contains(Flags::WRITE);
        if writes && self.reads_only {
            return Err("ERR Write commands are not allowed from read-only scripts.".into());
        }
        if self.cx.caller.identity.is_restricted() {
            self.check_permission(found, args)?;
        }
        if lacks_memory(self.cx)
            && flags.contains(Flags::DENYOOM)
            && !self.may_exceed_memory
            && !self.has_written
        {
            return Err(CommandError::OUT_OF_MEMORY);
        }
        if writes && !self.has_written {
            self.has_written = true;
            if self.is_shown {
                self.cx.server.scripts.running.note_write();
            }
        }
        Ok(())
    }

    /// Whether the caller's user may make the call.
    fn check_permission(&mut self, found: &'static Registered, args: Args<'_>) -> Result {
        let (server, settings, caller) = (self.cx.server, self.cx.settings, &mut *self.cx.caller);
        permission::check_inner(server, settings, caller, Context::Lua, found, args).map_err(
            |denied| {
                let error = denied.error(caller.identity.user(), found);
                let text = error.text().strip_prefix(b"NOPERM ").unwrap_or(error.text());
                [b"ERR ACL failure in script: ", text].concat().into()
            },
        )
    }

    /// Runs a command; its reply's bytes.
    fn execute(&mut self, found: &'static Registered, args: Args<'_>, protocol: Protocol) -> usize {
        if self.replies.len() < SPACE {
            self.replies.resize(SPACE, 0);
        }
        let cx = &mut *self.cx;
        cx.caller.protocol = protocol;
        let keys = keys_of(found, args);
        let mut reply = Reply::new(&mut self.replies, protocol);
        call(&cx.env(), cx.unit, cx.caller, found, &keys, args, &mut reply);
        let (written, more) = (reply.written(), reply.into_chunks());
        if more.is_empty() {
            return written;
        }
        self.replies.truncate(written);
        more.iter().for_each(|chunk| self.replies.extend_from_slice(chunk));
        self.replies.len()
    }

    /// Answers a call that is not executed; the answer's bytes.
    fn refuse(&mut self, error: &CommandError) -> usize {
        self.cx.stats.error(error);
        self.replies.clear();
        self.replies.push(b'-');
        self.replies.extend_from_slice(error.text());
        self.replies.extend_from_slice(b"\r\n");
        self.replies.len()
    }

    /// How long the script has run.
    fn took(&self) -> Duration {
        let clock = &self.cx.clock;
        Duration::from_nanos(clock.delta_as_nanos(self.began, clock.raw()))
    }

    fn kind_and_name(&self) -> (ScriptKind, String) {
        match self.name {
            Name::Script(digest) => (ScriptKind::Script, digest.text()),
            Name::Function(name) => (ScriptKind::Function, String::from_utf8_lossy(name).into()),
        }
    }

    #[cold]
    fn note_slow(&mut self, took: Duration) {
        self.is_slow = true;
        let (kind, name) = self.kind_and_name();
        log::warning(format_args!(
            "Slow script detected: still in execution after {} milliseconds. You can try killing the \
             script using the {} command. Script name is: {name}.",
            took.as_millis(),
            match kind {
                ScriptKind::Script => "SCRIPT KILL",
                ScriptKind::Function => "FUNCTION KILL",
            }
        ));
    }

    /// Shows others the script, which has run for so long.
    #[cold]
    fn show(&mut self, took: Duration) {
        let (kind, name) = self.kind_and_name();
        let command = self.args.iter().map(Into::into).collect();
        let since = Instant::now().checked_sub(took).unwrap_or_else(Instant::now);
        let has_written = self.has_written;
        let script = RunningScript { kind, name, command, since, has_written };
        self.cx.server.scripts.running.show(script);
        self.is_shown = true;
    }
}

/// Writes a script's message to the log.
pub fn log_message(level: LogLevel, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    match level {
        LogLevel::Debug => log::debug(text),
        LogLevel::Verbose => log::verbose(text),
        LogLevel::Notice => log::notice(text),
        LogLevel::Warning => log::warning(text),
    }
}
