//! ACL SETUSER, GETUSER, DELUSER, LIST, USERS.

use std::sync::Arc;

use crate::acl::{self, Selector, User, join_selectors};
use crate::command::{CommandError, Cx, Ending, Result};
use crate::config::PubsubDefault;
use crate::resp::{Args, Reply};
use crate::state::ClientRecord;

/// What rules are read by.
fn rules<'a>(cx: &Cx<'a>) -> acl::Rules<'a> {
    cx.server.acl.rules(cx.server.config.load().acl_pubsub_default == PubsubDefault::All)
}

pub(super) fn set(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let name = args.at(2);
    if !User::is_valid_name(name) {
        return Err("ERR Usernames can't contain spaces or null characters".into());
    }
    let modifiers = join_selectors(args.iter().skip(3)).map_err(|first| {
        let begin = "ERR Unmatched parenthesis in acl selector starting at '";
        CommandError::quoting(begin, first, "'.")
    })?;
    let acl = &cx.server.acl;
    let rules = rules(cx);
    let known = acl.get(name);
    let mut user = known.map_or_else(|| User::new(name, rules), |user| User::clone(&user));
    for modifier in &modifiers {
        user.apply(modifier, rules).map_err(|error| {
            let begin = "ERR Error in ACL SETUSER modifier '";
            CommandError::quoting(begin, modifier, &format!("': {error}"))
        })?;
    }
    if let Some(old) = acl.set(user)
        && let Some(new) = acl.get(name)
        && !new.keeps_channels_of(&old)
    {
        end_subscribers(cx, &new);
    }
    out.ok();
    Ok(())
}

/// Ends the connections of a user's clients that have subscribed to what it may not use any more.
pub(super) fn end_subscribers(cx: &mut Cx<'_>, user: &User) {
    let clients = cx.server.pubsub.subscribers_of(|name, is_pattern, client| {
        client.is_user(&user.name) && !user.allows_channel(name, is_pattern)
    });
    clients.iter().for_each(|client| end(cx, client));
}

/// Ends the connections of a user's clients.
pub(super) fn end_clients_of(cx: &mut Cx<'_>, name: &[u8]) {
    let clients = cx.server.clients.all();
    clients.iter().filter(|client| client.is_user(name)).for_each(|client| end(cx, client));
}

/// Ends a connection: the caller's own after the reply.
fn end(cx: &mut Cx<'_>, client: &Arc<ClientRecord>) {
    if client.id == cx.caller.record.id {
        cx.caller.ending = Ending::AfterReply;
    } else {
        cx.server.clients.kill(client);
    }
}

pub(super) fn delete(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let names = || args.iter().skip(2);
    if names().any(|name| name == acl::DEFAULT) {
        return Err("ERR The 'default' user cannot be removed".into());
    }
    let mut deleted = 0;
    for name in names() {
        if cx.server.acl.remove(name) {
            deleted += 1;
            end_clients_of(cx, name);
        }
    }
    out.integer(deleted);
    Ok(())
}

pub(super) fn get(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let Some(user) = cx.server.acl.get(args.at(2)) else {
        out.null();
        return Ok(());
    };
    out.map(7);
    out.bulk(b"flags");
    out.set(1 + usize::from(user.no_password));
    out.bulk(if user.enabled { b"on" } else { b"off" });
    if user.no_password {
        out.bulk(b"nopass");
    }
    out.bulk(b"passwords");
    out.array(user.passwords().len());
    user.passwords().iter().for_each(|hash| out.bulk(hash.digits().as_bytes()));
    write_selector(user.root(), out);
    out.bulk(b"selectors");
    let selectors = user.others();
    out.array(selectors.len());
    for selector in selectors {
        out.map(4);
        write_selector(selector, out);
    }
    Ok(())
}

fn write_selector(selector: &Selector, out: &mut Reply<'_>) {
    for (field, rules) in [
        ("commands", selector.command_rules()),
        ("keys", selector.key_rules()),
        ("channels", selector.channel_rules()),
        ("databases", selector.database_rules()),
    ] {
        out.bulk(field.as_bytes());
        out.bulk(&rules);
    }
}

pub(super) fn list(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let users = cx.server.acl.users();
    out.array(users.len());
    users.iter().for_each(|user| out.bulk(&user.line()));
    Ok(())
}

pub(super) fn names(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let users = cx.server.acl.users();
    out.array(users.len());
    users.iter().for_each(|user| out.bulk(&user.name));
    Ok(())
}
