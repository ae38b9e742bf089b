//! Connection commands: PING, ECHO, SELECT, AUTH, HELLO, RESET, QUIT.

use super::Ending;
use super::client::set_name;
use super::{Categories, Command, CommandError, Cx, Flags, Group, Result, Scope};
use super::{module, permission, transaction};
use crate::acl::{self, Reason};
use crate::number::parse_i64;
use crate::process;
use crate::resp::{Args, Protocol, Reply};

/// The flags of what a client may say before it has said who it is.
const GREETING: Flags = Flags::NOSCRIPT
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::NO_AUTH)
    .union(Flags::ALLOW_BUSY);

pub const COMMANDS: &[Command] = &[
    Command {
        name: "auth",
        arity: -2,
        flags: GREETING,
        acl: Categories::CONNECTION,
        group: Group::Connection,
        run: auth,
        ..Command::DEFAULT
    },
    Command {
        name: "echo",
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        acl: Categories::CONNECTION,
        group: Group::Connection,
        run: |_, args, out| {
            out.bulk(&args[1]);
            Ok(())
        },
        ..Command::DEFAULT
    },
    Command {
        name: "hello",
        arity: -1,
        flags: GREETING,
        acl: Categories::CONNECTION,
        group: Group::Connection,
        run: hello,
        ..Command::DEFAULT
    },
    Command {
        name: "ping",
        arity: -1,
        flags: Flags::FAST,
        acl: Categories::CONNECTION,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        group: Group::Connection,
        run: ping,
        ..Command::DEFAULT
    },
    Command {
        name: "quit",
        arity: -1,
        flags: GREETING.union(Flags::NOT_QUEUED),
        acl: Categories::CONNECTION,
        group: Group::Connection,
        run: |cx, _, out| {
            cx.caller.ending = Ending::AfterReply;
            out.ok();
            Ok(())
        },
        ..Command::DEFAULT
    },
    Command {
        name: "reset",
        flags: GREETING.union(Flags::NOT_QUEUED),
        scope: Scope::Transaction,
        acl: Categories::CONNECTION,
        group: Group::Connection,
        run: |cx, _, out| {
            transaction::discard_all(cx);
            cx.caller.reset(cx.server);
            cx.caller.publish();
            cx.server.count_client(&cx.caller.record);
            out.simple("RESET");
            Ok(())
        },
        ..Command::DEFAULT
    },
    Command {
        name: "select",
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST).union(Flags::ALLOW_BUSY),
        acl: Categories::CONNECTION,
        group: Group::Connection,
        databases: Some(|_| vec![1]),
        run: select,
        ..Command::DEFAULT
    },
];

fn ping(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    match args.len() {
        len @ 1..=2 if cx.caller.is_subscriber() => {
            // A client that waits for messages gets one.
            out.array(2);
            out.bulk(b"pong");
            out.bulk(if len == 2 { args.at(1) } else { b"" });
        }
        1 => out.simple("PONG"),
        2 => out.bulk(&args[1]),
        _ => return Err(CommandError::arity("ping")),
    }
    Ok(())
}

fn select(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let index = parse_i64(&args[1]).ok_or(CommandError::NOT_INTEGER)?;
    let index = i32::try_from(index).map_err(|_| {
        CommandError::of("ERR value is out of range, value must between -2147483648 and 2147483647")
    })?;
    match usize::try_from(index) {
        Ok(index) if index < cx.server.keyspace.databases() => cx.caller.db = index,
        _ => return Err("ERR DB index is out of range".into()),
    }
    out.ok();
    Ok(())
}

fn auth(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (user, password) = match args.len() {
        2 if cx.server.acl.default_user().no_password => {
            return Err(
                "ERR AUTH <password> called without any password configured for the default \
                        user. Are you sure your configuration is correct?"
                    .into(),
            );
        }
        2 => (acl::DEFAULT, args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(CommandError::SYNTAX),
    };
    authenticate(cx, user, password, &args[0])?;
    out.ok();
    Ok(())
}

/// Makes the client that user, if the password is right; the log says by which `command` it was not.
fn authenticate(cx: &mut Cx<'_>, user: &[u8], password: &[u8], command: &[u8]) -> Result {
    let acl = &cx.server.acl;
    let Some(user) = acl.authenticate(user, password) else {
        let (reason, object) = (Reason::Auth, command.to_vec());
        let context = permission::own_context(cx.caller);
        permission::note_denial(
            cx.server,
            cx.settings,
            cx.caller,
            context,
            reason,
            object,
            user.into(),
        );
        return Err("WRONGPASS invalid username-password pair or user is disabled.".into());
    };
    cx.caller.become_user(user, acl);
    Ok(())
}

fn hello(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let protocol = match args.get(1).map(parse_i64) {
        None => None,
        Some(None) => return Err("ERR Protocol version is not an integer or out of range".into()),
        Some(Some(2)) => Some(Protocol::Resp2),
        Some(Some(3)) => Some(Protocol::Resp3),
        Some(Some(_)) => return Err("NOPROTO unsupported protocol version".into()),
    };
    let mut user = None;
    let mut name = None;
    let mut i = 2;
    while i < args.len() {
        let values = args.len() - i - 1;
        let option = args.at(i);
        if option.eq_ignore_ascii_case(b"auth") && values >= 2 {
            user = Some((args.at(i + 1), args.at(i + 2)));
            i += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && values >= 1 {
            name = Some(super::client::valid_name(args.at(i + 1))?);
            i += 2;
        } else {
            return Err(CommandError::quoting("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    if let Some((user, password)) = user {
        authenticate(cx, user, password, &args[0])?;
    }
    if cx.caller.identity.is_anonymous() {
        return Err(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise \
                    the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the \
                    client and select the RESP protocol version at the same time"
                .into(),
        );
    }
    if let Some(name) = name {
        set_name(cx, name);
    }
    cx.caller.protocol = protocol.unwrap_or(cx.caller.protocol);
    out.protocol = cx.caller.protocol;
    // What others send it has the form of its protocol.
    cx.caller.publish();
    greet(cx, out);
    Ok(())
}

/// What HELLO answers: Valkey's words, since clients decide by them what they can ask for.
fn greet(cx: &Cx<'_>, out: &mut Reply<'_>) {
    let zone = cx.settings.availability_zone.as_bytes();
    out.map(if zone.is_empty() { 7 } else { 8 });
    let (server, version) = process::compatible_with(cx.settings);
    for (field, value) in [("server", server), ("version", version)] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.integer(match cx.caller.protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    });
    out.bulk(b"id");
    out.integer(cx.caller.record.id as i64);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"modules");
    module::write_all(out);
    if !zone.is_empty() {
        out.bulk(b"availability_zone");
        out.bulk(zone);
    }
}
