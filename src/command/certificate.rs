//! Clients that authenticate by the certificate that they show (`tls-auth-clients-user`).

use super::Caller;
use super::permission;
use crate::acl::{Context, Reason};
use crate::config::Settings;
use crate::log;
use crate::state::{Server, certificate_users};

/// Makes a new client the first enabled user that its certificate names. Where none is, the client stays the default user, and
/// ACL LOG tells.
pub fn authenticate(server: &Server, settings: &Settings, caller: &mut Caller) {
    let info = caller.record.info.clone();
    let mut names = certificate_users(settings, &info).peekable();
    let Some(first) = names.peek().copied() else { return };
    let acl = &server.acl;
    let is_enabled = |name: &str| acl.get(name.as_bytes()).filter(|user| user.enabled);
    let Some(user) = names.find_map(is_enabled) else {
        let (context, reason) = (Context::TopLevel, Reason::TlsCertificate);
        // There is no command that it would be about.
        let (object, user) = (Vec::new(), first.as_bytes().into());
        permission::note_denial(server, settings, caller, context, reason, object, user);
        return;
    };
    let shown = match settings.hide_user_data_from_log {
        true => "*redacted*".into(),
        false => String::from_utf8_lossy(&user.name).into_owned(),
    };
    log::verbose(format_args!("TLS: Auto-authenticated client as {shown}"));
    caller.become_user(user, acl);
}
