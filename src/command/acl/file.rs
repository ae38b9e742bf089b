//! ACL LOAD and SAVE, and the users of the configuration file.

use std::path::Path;

use super::users;
use crate::acl::{Declaration, User, parse_file};
use crate::command::{CommandError, Cx, Result};
use crate::config::{PubsubDefault, Settings, quoted, replace_file, system_text};
use crate::log;
use crate::resp::{Args, Reply};
use crate::state::Server;

const NOT_CONFIGURED: CommandError = CommandError::of(
    "ERR This instance is not configured to use an ACL file. You may want to specify users via the \
     ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a configuration file set) \
     in order to store users in the configuration.",
);

/// The users that the file declares.
fn read(server: &Server, settings: &Settings) -> std::result::Result<Vec<User>, Vec<u8>> {
    let name = &settings.aclfile;
    let text = std::fs::read(name).map_err(|error| {
        format!("Error loading ACLs, opening file '{name}': {}", system_text(&error)).into_bytes()
    })?;
    let rules = server.acl.rules(settings.acl_pubsub_default == PubsubDefault::All);
    parse_file(name, &text, rules)
}

/// The users that a server has at its start: those of the ACL file, or those that the configuration file
/// declares. The error is for the user.
pub fn load_at_start(
    server: &Server,
    settings: &Settings,
    declared: &[Declaration],
) -> std::result::Result<(), String> {
    if !settings.aclfile.is_empty() {
        if !declared.is_empty() {
            return Err(
                "Users can be declared in the configuration file or in an ACL file, not in both: \
                        remove the user lines, or the aclfile parameter."
                    .into(),
            );
        }
        let users = read(server, settings).map_err(|error| {
            let error = String::from_utf8_lossy(&error);
            format!("Aborting startup because of ACL errors: {error}")
        })?;
        server.acl.replace(users);
    }
    let rules = server.acl.rules(settings.acl_pubsub_default == PubsubDefault::All);
    for declaration in declared {
        server.acl.set(declaration.user(rules)?);
    }
    Ok(())
}

pub(super) fn load(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    if cx.settings.aclfile.is_empty() {
        return Err(NOT_CONFIGURED);
    }
    let settings = cx.server.config.load();
    let new = read(cx.server, &settings)
        .map_err(|error| CommandError::from([b"ERR ", &*error].concat()))?;
    let old = cx.server.acl.users();
    cx.server.acl.replace(new);
    for old in old {
        match cx.server.acl.get(&old.name) {
            None => users::end_clients_of(cx, &old.name),
            Some(new) if !new.keeps_channels_of(&old) => users::end_subscribers(cx, &new),
            Some(_) => {}
        }
    }
    out.ok();
    Ok(())
}

pub(super) fn save(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let name = &cx.settings.aclfile;
    if name.is_empty() {
        return Err(NOT_CONFIGURED);
    }
    let mut text = Vec::new();
    for user in cx.server.acl.users() {
        text.extend(user.line());
        text.push(b'\n');
    }
    replace_file(Path::new(name), &text).map_err(|error| {
        log::warning(format_args!("Saving ACL file '{name}': {}", system_text(&error)));
        CommandError::of(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more \
             information",
        )
    })?;
    out.ok();
    Ok(())
}

/// The lines of a configuration file that declare the users; none if an ACL file does.
pub fn config_lines(server: &Server) -> Vec<Vec<u8>> {
    if !server.config.load().aclfile.is_empty() {
        return Vec::new();
    }
    let line = |user: &User| {
        let line = user.line();
        let words = line.split(|byte| *byte == b' ').map(|word| {
            let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'');
            if !word.is_empty() && word.iter().all(is_plain) { word.to_vec() } else { quoted(word) }
        });
        words.collect::<Vec<_>>().join(&b' ')
    };
    server.acl.users().iter().map(|user| line(user)).collect()
}
