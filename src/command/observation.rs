//! What is noted of a call beyond its count: the command log, and the latency monitor.
//!
//! `call` compares a call with the least of all limits. All that is here runs for calls that reach one,
//! and for those that wait, which are counted when they end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::call::{Env, count};
use super::redaction::is_secret;
use super::table::Registered;
use super::{Caller, CommandError, Flags, ReplyMode};
use crate::resp::{Args, OwnedArgs};
use crate::state::{ClientRecord, LatencyEvent, Logged, LoggedCall, unix_milliseconds};

/// Arguments of a call that the log keeps; where there are more, the last one says how many.
const MAX_ARGS: usize = 32;

/// Bytes of an argument that the log keeps.
const MAX_ARG: usize = 128;

/// What a call has cost.
struct Cost {
    ticks: u64,
    /// Bytes of the request and of the reply.
    request: u64,
    reply: u64,
}

/// Notes a call that may have reached a limit. `reply` are the bytes that the request has been answered
/// with so far: within EXEC, those of the calls before it too.
#[cold]
pub fn note(
    env: &Env<'_>,
    caller: &Caller,
    found: &Registered,
    args: Args<'_>,
    ticks: u64,
    reply: u64,
) {
    // A call that waits has not ended.
    if caller.block.is_none() {
        let reply = if caller.reply_mode == ReplyMode::On { reply } else { 0 };
        let cost = Cost { ticks, request: caller.request_bytes, reply };
        note_cost(env, &caller.record, found, &cost, || kept_args(found, args));
    }
}

fn note_cost(
    env: &Env<'_>,
    record: &ClientRecord,
    found: &Registered,
    cost: &Cost,
    args: impl FnOnce() -> Vec<Box<[u8]>>,
) {
    let server = env.server;
    // The call itself may have changed them.
    let settings = &server.config.load();
    let took = Duration::from_nanos(env.clock.delta_as_nanos(0, cost.ticks));
    let flags = found.command.flags;
    let is_fast = flags.contains(Flags::FAST);
    let event = if is_fast { LatencyEvent::FastCommand } else { LatencyEvent::Command };
    server.latency.note(settings, event, took);
    if flags.contains(Flags::SKIP_COMMANDLOG) {
        return;
    }
    let value = |logged| match logged {
        Logged::Slow => took.as_micros() as u64,
        Logged::LargeRequest => cost.request,
        Logged::LargeReply => cost.reply,
    };
    let reached = |logged: &Logged| logged.limit(settings).is_some_and(|n| value(*logged) >= n);
    let mut logs = Logged::ALL.into_iter().filter(reached).peekable();
    if logs.peek().is_none() {
        return;
    }
    let call = Arc::new(LoggedCall {
        time: unix_milliseconds() / 1000,
        args: args(),
        peer: record.info.peer.to_string(),
        name: record.labels.lock().name.clone(),
    });
    for logged in logs {
        server.command_log.add(logged, settings, value(logged), call.clone());
    }
}

/// What the log keeps of a call's arguments.
fn kept_args(found: &Registered, args: Args<'_>) -> Vec<Box<[u8]>> {
    let whole = if args.len() > MAX_ARGS { MAX_ARGS - 1 } else { args.len() };
    let kept = args.iter().take(whole).enumerate().map(|(index, arg)| {
        if is_secret(found, args, index) { b"(redacted)"[..].into() } else { kept_arg(arg) }
    });
    let mut kept: Vec<Box<[u8]>> = kept.collect();
    if whole < args.len() {
        let more = format!("... ({} more arguments)", args.len() - whole);
        kept.push(more.into_bytes().into());
    }
    kept
}

fn kept_arg(arg: &[u8]) -> Box<[u8]> {
    if arg.len() <= MAX_ARG {
        return arg.into();
    }
    let more = format!("... ({} more bytes)", arg.len() - MAX_ARG);
    [&arg[..MAX_ARG], more.as_bytes()].concat().into()
}

/// A call that wants to wait, as it is counted and logged when it ends.
pub struct BegunCall {
    pub found: &'static Registered,
    args: OwnedArgs,
    ticks: u64,
    request: u64,
}

/// Keeps what is known of a call that wants to wait.
#[cold]
pub fn begin(caller: &mut Caller, found: &'static Registered, args: Args<'_>, ticks: u64) {
    let mut owned = OwnedArgs::default();
    owned.push(args);
    let request = caller.request_bytes;
    caller.begun = Some(Box::new(BegunCall { found, args: owned, ticks, request }));
}

impl BegunCall {
    pub fn args(&self) -> Args<'_> {
        self.args.all()
    }

    /// Counts the call as one that was refused, with an error for its reply.
    pub fn refuse(&self, env: &Env<'_>, reply: &[Bytes]) {
        env.stats.commands[self.found.id].rejected.add(1);
        reply.first().and_then(error_in).iter().for_each(|error| env.stats.error(error));
    }

    /// Counts and logs the call, after further attempts that took `spent` ticks.
    pub fn end(
        &self,
        env: &Env<'_>,
        record: &ClientRecord,
        spent: u64,
        reply: &[Bytes],
        is_heard: bool,
    ) {
        let ticks = self.ticks + spent;
        count(env, self.found, ticks);
        if let Some(error) = reply.first().and_then(error_in) {
            env.stats.commands[self.found.id].failed.add(1);
            env.stats.error(&error);
        }
        let bytes = reply.iter().map(|chunk| chunk.len() as u64).sum();
        let reply = if is_heard { bytes } else { 0 };
        if env.stats.limits.may_be_reached(ticks, self.request, reply) {
            let cost = Cost { ticks, request: self.request, reply };
            note_cost(env, record, self.found, &cost, || kept_args(self.found, self.args()));
        }
    }
}

/// The error that a reply is, if it is one.
fn error_in(reply: &Bytes) -> Option<CommandError> {
    let error = reply.strip_prefix(b"-")?;
    Some(error.strip_suffix(b"\r\n").unwrap_or(error).to_vec().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table;

    fn kept(words: &[&str]) -> Vec<String> {
        let mut owned = OwnedArgs::default();
        let range = owned.push_words(words.iter().map(|word| word.as_bytes()));
        let args = owned.args(range);
        let kept = kept_args(table().resolve(args).unwrap(), args);
        kept.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
    }

    #[test]
    fn long_calls_are_cut() {
        assert_eq!(kept(&["get", "a"]), ["get", "a"]);
        let numbers: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let del = |keys: usize| {
            let mut words = vec!["del"];
            words.extend(numbers[..keys].iter().map(String::as_str));
            kept(&words)
        };
        assert_eq!(del(31).len(), 32);
        assert_eq!(del(31)[31], "30");
        assert_eq!(del(32).len(), 32);
        assert_eq!(del(32)[30..], ["29", "... (2 more arguments)"]);
        assert_eq!(del(40)[31], "... (10 more arguments)");
        assert_eq!(kept(&["get", &"x".repeat(128)])[1], "x".repeat(128));
        let long = format!("{}... (72 more bytes)", "x".repeat(128));
        assert_eq!(kept(&["get", &"x".repeat(200)])[1], long);
    }

    #[test]
    fn secrets_are_not_kept() {
        assert_eq!(kept(&["auth", "a", "b"]), ["auth", "(redacted)", "(redacted)"]);
        let set = ["config", "set", "maxmemory", "1", "masterauth", "x"];
        assert_eq!(kept(&set)[3..], ["1", "masterauth", "(redacted)"]);
    }
}
