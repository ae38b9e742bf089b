//! Publish and subscribe: SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their opposites, PUBLISH, SPUBLISH, PUBSUB.

use std::collections::HashSet;

use rapidhash::fast::RandomState;

use super::spec::Channels;
use super::{Caller, Command, CommandError, Cx, Flags, Group, Origin, Result};
use super::{KeyFlags, KeySpec};
use crate::resp::{Args, Reply};
use crate::state::{
    ClientRecord, Name, OutboxClass, OutboxSender, Published, Server, SubscriptionKind,
};

const ANY_TIME: Flags = Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE);
const SUBSCRIBING: Flags = ANY_TIME.union(Flags::NOSCRIPT);

const ROW: Command =
    Command { arity: -2, flags: SUBSCRIBING, group: Group::PubSub, ..Command::DEFAULT };

/// A channel of the shard of its slot: no key, but placed like one.
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "subscribe",
        channels: Channels::Listed,
        run: |cx, args, out| subscribe(cx, CHANNEL, args, out),
        ..ROW
    },
    Command {
        name: "psubscribe",
        channels: Channels::Patterns,
        run: |cx, args, out| subscribe(cx, PATTERN, args, out),
        ..ROW
    },
    Command {
        name: "ssubscribe",
        keys: SHARD_CHANNELS,
        channels: Channels::Listed,
        run: |cx, args, out| subscribe(cx, SHARD_CHANNEL, args, out),
        ..ROW
    },
    Command {
        name: "unsubscribe",
        arity: -1,
        run: |cx, args, out| unsubscribe(cx, CHANNEL, args, out),
        ..ROW
    },
    Command {
        name: "punsubscribe",
        arity: -1,
        run: |cx, args, out| unsubscribe(cx, PATTERN, args, out),
        ..ROW
    },
    Command {
        name: "sunsubscribe",
        arity: -1,
        keys: SHARD_CHANNELS,
        run: |cx, args, out| unsubscribe(cx, SHARD_CHANNEL, args, out),
        ..ROW
    },
    Command {
        name: "publish",
        arity: 3,
        flags: ANY_TIME.union(Flags::FAST).union(Flags::MAY_REPLICATE),
        channels: Channels::First,
        run: |cx, args, out| publish(cx, CHANNEL, args, out),
        ..ROW
    },
    Command {
        name: "spublish",
        arity: 3,
        flags: ANY_TIME.union(Flags::FAST).union(Flags::MAY_REPLICATE),
        keys: &[KeySpec::one(1, KeyFlags::NOT_KEY)],
        channels: Channels::First,
        run: |cx, args, out| publish(cx, SHARD_CHANNEL, args, out),
        ..ROW
    },
    Command {
        name: "pubsub",
        arity: -2,
        group: Group::PubSub,
        subcommands: &[
            Command {
                name: "channels",
                run: |cx, args, out| channels(cx, CHANNEL, args, out),
                ..ABOUT
            },
            Command {
                name: "help",
                arity: 2,
                flags: Flags::LOADING.union(Flags::STALE),
                run: |_, _, out| {
                    out.lines(HELP);
                    Ok(())
                },
                ..ABOUT
            },
            Command {
                name: "numpat",
                arity: 2,
                run: |cx, _, out| {
                    out.integer(cx.server.pubsub.count(PATTERN) as i64);
                    Ok(())
                },
                ..ABOUT
            },
            Command {
                name: "numsub",
                run: |cx, args, out| subscribers(cx, CHANNEL, args, out),
                ..ABOUT
            },
            Command {
                name: "shardchannels",
                run: |cx, args, out| channels(cx, SHARD_CHANNEL, args, out),
                ..ABOUT
            },
            Command {
                name: "shardnumsub",
                run: |cx, args, out| subscribers(cx, SHARD_CHANNEL, args, out),
                ..ABOUT
            },
        ],
        ..Command::DEFAULT
    },
];

const ABOUT: Command =
    Command { arity: -2, flags: ANY_TIME, group: Group::PubSub, ..Command::DEFAULT };

const CHANNEL: SubscriptionKind = SubscriptionKind::Channel;
const PATTERN: SubscriptionKind = SubscriptionKind::Pattern;
const SHARD_CHANNEL: SubscriptionKind = SubscriptionKind::ShardChannel;

/// What a client has subscribed to.
#[derive(Default)]
pub struct Subscriptions {
    channels: HashSet<Name, RandomState>,
    patterns: HashSet<Name, RandomState>,
    shard_channels: HashSet<Name, RandomState>,
}

impl Subscriptions {
    fn names(&mut self, kind: SubscriptionKind) -> &mut HashSet<Name, RandomState> {
        match kind {
            CHANNEL => &mut self.channels,
            PATTERN => &mut self.patterns,
            SHARD_CHANNEL => &mut self.shard_channels,
        }
    }

    /// How many a reply to a change of this kind counts: shard channels apart from the others.
    fn count(&self, kind: SubscriptionKind) -> usize {
        match kind {
            SHARD_CHANNEL => self.shard_channels.len(),
            CHANNEL | PATTERN => self.channels.len() + self.patterns.len(),
        }
    }

    fn is_empty(&self) -> bool {
        self.count(CHANNEL) + self.count(SHARD_CHANNEL) == 0
    }

    /// Shows other threads how many there are.
    fn publish(&self, record: &ClientRecord) {
        let Subscriptions { channels, patterns, shard_channels } = self;
        record.subscriptions.set(channels.len() as u64);
        record.pattern_subscriptions.set(patterns.len() as u64);
        record.shard_subscriptions.set(shard_channels.len() as u64);
        let bytes = |names: &HashSet<Name, RandomState>| {
            // A set's slot, a name with its counts, and the registry's place for the client.
            let each = 2 * size_of::<Name>() + 2 * size_of::<usize>() + size_of::<usize>();
            names.capacity() * each + names.iter().map(|name| name.len()).sum::<usize>()
        };
        record
            .subscription_memory
            .set([channels, patterns, shard_channels].map(bytes).iter().sum::<usize>() as u64);
    }
}

/// Whether a client that has subscribed and speaks RESP2 may run the command.
pub fn may_run_subscribed(name: &str) -> bool {
    let allowed = ["subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe"];
    let more = ["sunsubscribe", "ping", "quit", "reset"];
    allowed.contains(&name) || more.contains(&name)
}

/// Settles who receives the events that the unit has caused so far: the client's subscriptions are about to
/// change, and it is to get none by a later one.
fn settle_receivers(cx: &mut Cx<'_>) {
    let server = cx.server;
    if let Some(notices) = cx.unit.posts() {
        server.resolve_events(notices);
    }
}

/// Ends all subscriptions of a client, without a word to it.
pub fn leave(caller: &mut Caller, server: &Server) {
    let Some(mut subscriptions) = caller.subscriptions.take() else { return };
    for kind in [CHANNEL, PATTERN, SHARD_CHANNEL] {
        for name in std::mem::take(subscriptions.names(kind)) {
            server.pubsub.unsubscribe(kind, &name, &caller.record);
        }
    }
    subscriptions.publish(&caller.record);
    caller.record.set_class(OutboxClass::Normal);
}

/// One message that says what a client has subscribed to, or no longer.
fn confirm(out: &mut Reply<'_>, word: &str, name: Option<&[u8]>, count: usize) {
    out.push(3);
    out.bulk(word.as_bytes());
    match name {
        Some(name) => out.bulk(name),
        None => out.null(),
    }
    out.integer(count as i64);
}

fn subscribe(
    cx: &mut Cx<'_>,
    kind: SubscriptionKind,
    args: Args<'_>,
    out: &mut Reply<'_>,
) -> Result {
    let word = match kind {
        CHANNEL => "subscribe",
        PATTERN => "psubscribe",
        SHARD_CHANNEL => "ssubscribe",
    };
    if kind == SHARD_CHANNEL && cx.caller.origin != Origin::Client {
        return Err("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client".into());
    }
    settle_receivers(cx);
    let (server, caller) = (cx.server, &mut *cx.caller);
    let subscriptions = caller.subscriptions.get_or_insert_default();
    for name in args.iter().skip(1) {
        if !subscriptions.names(kind).contains(name) {
            let name = server.pubsub.subscribe(kind, name, &caller.record);
            subscriptions.names(kind).insert(name);
        }
        confirm(out, word, Some(name), subscriptions.count(kind));
    }
    subscriptions.publish(&caller.record);
    caller.record.set_class(OutboxClass::Pubsub);
    Ok(())
}

fn unsubscribe(
    cx: &mut Cx<'_>,
    kind: SubscriptionKind,
    args: Args<'_>,
    out: &mut Reply<'_>,
) -> Result {
    let word = match kind {
        CHANNEL => "unsubscribe",
        PATTERN => "punsubscribe",
        SHARD_CHANNEL => "sunsubscribe",
    };
    settle_receivers(cx);
    let (server, caller) = (cx.server, &mut *cx.caller);
    let mut subscriptions = caller.subscriptions.take().unwrap_or_default();
    let all: Vec<Name>;
    let names: Vec<&[u8]> = if args.len() > 1 {
        args.iter().skip(1).collect()
    } else {
        all = subscriptions.names(kind).iter().cloned().collect();
        all.iter().map(|name| &**name).collect()
    };
    let held: Vec<bool> = names
        .iter()
        .map(|name| {
            let held = subscriptions.names(kind).remove(*name);
            if held {
                server.pubsub.unsubscribe(kind, name, &caller.record);
            }
            held
        })
        .collect();
    if caller.origin == Origin::Client {
        // No message follows the word that there will be none.
        caller.record.outbox.move_to(out);
    }
    let mut left = subscriptions.count(kind) + held.iter().filter(|held| **held).count();
    for (name, held) in names.iter().zip(held) {
        left -= usize::from(held);
        confirm(out, word, Some(name), left);
    }
    if names.is_empty() {
        confirm(out, word, None, left);
    }
    subscriptions.publish(&caller.record);
    if subscriptions.is_empty() {
        caller.record.set_class(OutboxClass::Normal);
    } else {
        caller.subscriptions = Some(subscriptions);
    }
    Ok(())
}

fn publish(cx: &mut Cx<'_>, kind: SubscriptionKind, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (channel, message) = (args.at(1), args.at(2));
    let pubsub = &cx.server.pubsub;
    let receivers = if pubsub.is_idle() {
        0
    } else if cx.caller.origin == Origin::Client {
        let mut sender = OutboxSender::new(&cx.settings.client_output_buffer_limit);
        let receivers = cx
            .server
            .after_queued(&mut sender, |sender| pubsub.publish(kind, channel, message, sender));
        cx.server.end_over_limit(sender);
        receivers
    } else {
        // In the order of the events that the unit's other commands cause.
        let published: Published = pubsub.prepare(kind, channel, message);
        let receivers = published.len();
        cx.unit.post(Box::new(published));
        receivers
    };
    out.integer(receivers as i64);
    Ok(())
}

fn channels(
    cx: &mut Cx<'_>,
    kind: SubscriptionKind,
    args: Args<'_>,
    out: &mut Reply<'_>,
) -> Result {
    if args.len() > 3 {
        return Err(CommandError::quoting(
            "ERR unknown subcommand or wrong number of arguments for '",
            args.at(1),
            "'. Try PUBSUB HELP.",
        ));
    }
    let names = cx.server.pubsub.names(kind, args.get(2));
    out.array(names.len());
    names.iter().for_each(|name| out.bulk(name));
    Ok(())
}

fn subscribers(
    cx: &mut Cx<'_>,
    kind: SubscriptionKind,
    args: Args<'_>,
    out: &mut Reply<'_>,
) -> Result {
    out.array(2 * (args.len() - 2));
    for name in args.iter().skip(2) {
        out.bulk(name);
        out.integer(cx.server.pubsub.subscribers(kind, name) as i64);
    }
    Ok(())
}

const HELP: &[&str] = &[
    "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CHANNELS [<pattern>]",
    "    Return the currently active channels matching a <pattern> (default: '*').",
    "NUMPAT",
    "    Return number of subscriptions to patterns.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers for the specified channels, excluding",
    "    pattern subscriptions(default: no channels).",
    "SHARDCHANNELS [<pattern>]",
    "    Return the currently active shard level channels matching a <pattern> (default: '*').",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return the number of subscribers for the specified shard level channel(s)",
    "HELP",
    "    Print this help.",
];
