//! Permission: whether a user may make a call, and what is said and noted if not.
//!
//! What a call uses is told by the command table: the command itself, databases, keys, channels. It is
//! [prepared](Uses) once per command, so that a check of the common commands, with one key, is a test of one
//! bit and a look at the patterns.

use smallvec::SmallVec;

use super::admission::restricted;
use super::spec::{Channels, KeyFlags};
use super::table::{key_positions, table};
use super::{Caller, Categories, Command, CommandError, Flags, Origin, Registered, Result};
use crate::acl::{Context, Denial, KeyAccess, Reason, Selector, User};
use crate::config::Settings;
use crate::number::parse_i64;
use crate::resp::Args;
use crate::state::{Server, unix_milliseconds};

/// What a call of a command uses beside the command itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses {
    keys: KeyUse,
    database: DatabaseUse,
    /// Everybody may call it: AUTH and the like.
    free: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyUse {
    None,
    /// The first argument.
    First(KeyAccess),
    /// Those that the key specs tell.
    Listed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DatabaseUse {
    None,
    /// The caller's.
    Current,
    All,
}

impl Uses {
    pub(super) fn of(command: &Command, first_key_only: bool) -> Self {
        let mut keys = command.keys.iter().filter(|spec| !spec.flags.contains(KeyFlags::NOT_KEY));
        let keys = match (keys.next(), keys.next()) {
            (None, _) => KeyUse::None,
            (Some(spec), None)
                if first_key_only && !spec.flags.contains(KeyFlags::VARIABLE_FLAGS) =>
            {
                KeyUse::First(access(spec.flags))
            }
            _ => KeyUse::Listed,
        };
        let data = Categories::KEYSPACE | Categories::READ | Categories::WRITE;
        let about_data = keys != KeyUse::None
            || command.databases.is_none()
                && (command.categories().intersects(data)
                    || command.flags.intersects(Flags::READONLY | Flags::WRITE));
        let database = if command.flags.contains(Flags::ALL_DBS) {
            DatabaseUse::All
        } else if about_data {
            DatabaseUse::Current
        } else {
            DatabaseUse::None
        };
        Uses { keys, database, free: command.flags.contains(Flags::NO_AUTH) }
    }
}

/// What a user must be allowed to do with a key.
fn access(flags: KeyFlags) -> KeyAccess {
    let mut access = KeyAccess::empty();
    access.set(KeyAccess::READ, flags.contains(KeyFlags::ACCESS));
    let changes = KeyFlags::INSERT | KeyFlags::UPDATE | KeyFlags::DELETE;
    access.set(KeyAccess::WRITE, flags.intersects(changes));
    access
}

/// Why a call is denied: the reason, and the argument that it is about (0 for the command itself and the
/// caller's database).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    pub reason: Reason,
    pub argument: usize,
}

impl Denied {
    /// Of the denials by several selectors the one is told that came furthest.
    fn progress(self) -> (u8, usize) {
        let stage = match self.reason {
            Reason::Database => 0,
            Reason::Command | Reason::Auth | Reason::TlsCertificate => 1,
            Reason::Key => 2,
            Reason::Channel => 3,
        };
        (stage, self.argument)
    }

    /// What the log calls it: the command, key, channel or database.
    fn object(self, found: &Registered, args: Args<'_>) -> Vec<u8> {
        match self.argument {
            0 => found.full_name.clone().into_bytes(),
            argument => args.at(argument).to_vec(),
        }
    }

    /// The error for the client. A script's is made of what follows the code.
    pub fn error(self, user: &User, found: &Registered) -> CommandError {
        match self.reason {
            Reason::Command => {
                let end = format!(" has no permissions to run the '{}' command", found.full_name);
                [b"NOPERM User ", &*user.name, end.as_bytes()].concat().into()
            }
            Reason::Key => "NOPERM No permissions to access a key".into(),
            Reason::Channel => "NOPERM No permissions to access a channel".into(),
            Reason::Database | Reason::Auth | Reason::TlsCertificate => {
                "NOPERM No permissions to access database".into()
            }
        }
    }

    /// The error in the reply to EXEC, of a call that was allowed when it was queued.
    pub fn error_at_exec(self) -> CommandError {
        let why = match self.reason {
            Reason::Command => "no permission to execute the command or subcommand",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Channel => "no permission to access one of the channels used as arguments",
            Reason::Database | Reason::Auth | Reason::TlsCertificate => "no permission",
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC \
             call. This command is no longer allowed for the following reason: {why}"
        )
        .into()
    }

    /// The answer of ACL DRYRUN.
    pub fn verdict(self, user: &User, found: &Registered, args: Args<'_>) -> Vec<u8> {
        let begin = [b"User ", &*user.name, b" has no permissions to "].concat();
        let object = || args.at(self.argument);
        match self.reason {
            Reason::Command => {
                [&begin, &b"run the '"[..], found.full_name.as_bytes(), b"' command"].concat()
            }
            Reason::Key => [&begin, &b"access the '"[..], object(), b"' key"].concat(),
            Reason::Channel => [&begin, &b"access the '"[..], object(), b"' channel"].concat(),
            Reason::Database | Reason::Auth | Reason::TlsCertificate => {
                [&begin, &b"access database "[..], object()].concat()
            }
        }
    }
}

/// The databases of a call.
#[derive(Clone, Copy, Debug)]
pub struct Databases {
    /// The caller's.
    pub current: usize,
    /// How many there are.
    pub count: usize,
}

/// Whether a call is one of those that most are, of a command with one key or with nothing that rules are about, and
/// the selector outside of parentheses allows it.
#[inline]
pub fn is_plainly_allowed(caller: &Caller, found: &Registered, args: Args<'_>) -> bool {
    let root = caller.identity.user().root();
    let allows_keys = || match found.uses.keys {
        KeyUse::None => found.command.channels == Channels::None,
        KeyUse::First(access) => root.allows_key(args.at(1), access),
        KeyUse::Listed => false,
    };
    root.allows_all_databases() && root.has_command(found.id) && allows_keys()
}

/// Whether `user` may make a call. Its arity must have been checked.
#[inline]
pub fn check(
    user: &User,
    found: &Registered,
    args: Args<'_>,
    databases: Databases,
) -> Result<(), Denied> {
    match check_selector(user.root(), found, args, databases) {
        Ok(()) => Ok(()),
        Err(denied) => check_others(user, found, args, databases, denied),
    }
}

/// Whether one of the selectors in parentheses allows what the one outside has `denied`.
#[cold]
fn check_others(
    user: &User,
    found: &Registered,
    args: Args<'_>,
    databases: Databases,
    mut denied: Denied,
) -> Result<(), Denied> {
    for selector in user.others() {
        match check_selector(selector, found, args, databases) {
            Ok(()) => return Ok(()),
            Err(other) if other.progress() > denied.progress() => denied = other,
            Err(_) => {}
        }
    }
    Err(denied)
}

#[inline]
fn check_selector(
    selector: &Selector,
    found: &Registered,
    args: Args<'_>,
    databases: Databases,
) -> Result<(), Denied> {
    let deny = |reason, argument| Err(Denied { reason, argument });
    let uses = &found.uses;
    if !selector.allows_all_databases() {
        check_databases(selector, found, args, databases)?;
    }
    if !selector.allows_command(found.id, args.get(1)) && !uses.free {
        return deny(Reason::Command, 0);
    }
    match uses.keys {
        KeyUse::None => {}
        KeyUse::First(access) if selector.allows_key(args.at(1), access) => {}
        KeyUse::First(_) => return deny(Reason::Key, 1),
        KeyUse::Listed => check_keys(selector, found, args)?,
    }
    if found.command.channels != Channels::None {
        check_channels(selector, found.command.channels, args)?;
    }
    Ok(())
}

#[cold]
fn check_databases(
    selector: &Selector,
    found: &Registered,
    args: Args<'_>,
    databases: Databases,
) -> Result<(), Denied> {
    let deny = |argument| Err(Denied { reason: Reason::Database, argument });
    if let Some(positions) = found.command.databases {
        let positions = positions(args);
        // The command answers what is wrong with one that is none.
        let index = |at: &usize| parse_i64(args.at(*at)).and_then(|db| usize::try_from(db).ok());
        let exists = |at: &usize| index(at).is_some_and(|db| db < databases.count);
        let denied = |at: &usize| index(at).is_some_and(|db| !selector.allows_database(db));
        if positions.iter().all(exists)
            && let Some(position) = positions.into_iter().find(denied)
        {
            return deny(position);
        }
    }
    match found.uses.database {
        DatabaseUse::All => deny(0),
        DatabaseUse::Current if !selector.allows_database(databases.current) => deny(0),
        DatabaseUse::Current | DatabaseUse::None => Ok(()),
    }
}

fn check_keys(selector: &Selector, found: &Registered, args: Args<'_>) -> Result<(), Denied> {
    let mut keys = SmallVec::<[(usize, KeyFlags); 8]>::new();
    let told = key_positions(found.command.keys, args, |position, spec| {
        keys.push((position, spec.flags));
    });
    if told.is_none() {
        // The command answers what is wrong with its arguments.
        return Ok(());
    }
    for (position, flags) in keys {
        if flags.contains(KeyFlags::NOT_KEY) {
            continue;
        }
        let flags = match found.command.variable_flags {
            Some(variable) if flags.contains(KeyFlags::VARIABLE_FLAGS) => variable(args),
            _ => flags,
        };
        if !selector.allows_key(args.at(position), access(flags)) {
            return Err(Denied { reason: Reason::Key, argument: position });
        }
    }
    Ok(())
}

#[cold]
fn check_channels(selector: &Selector, channels: Channels, args: Args<'_>) -> Result<(), Denied> {
    let last = if channels == Channels::First { 1 } else { args.len() - 1 };
    let is_pattern = channels == Channels::Patterns;
    let denied = |at: &usize| !selector.allows_channel(args.at(*at), is_pattern);
    match (1..=last).find(denied) {
        Some(argument) => Err(Denied { reason: Reason::Channel, argument }),
        None => Ok(()),
    }
}

/// Whether the caller may read all keys, by whatever their names are told, with the command of that name.
pub fn reads_all_keys(caller: &Caller, command: &str) -> bool {
    let identity = &caller.identity;
    let id = || table().get(command.as_bytes()).map(|found| found.id);
    !identity.is_restricted()
        || id().is_some_and(|id| {
            let mut selectors = identity.user().selectors();
            selectors.any(|selector| selector.allows_command(id, None) && selector.reads_all_keys())
        })
}

// --- Admission ---

/// Refuses a command of a client that must authenticate first.
pub fn authenticated(caller: &Caller, found: &Registered) -> Result {
    if caller.identity.is_anonymous() && !found.command.flags.contains(Flags::NO_AUTH) {
        return Err(CommandError::NO_AUTH);
    }
    Ok(())
}

/// Whether a caller with restrictions may make a call, which is not [plainly allowed](is_plainly_allowed).
pub fn admit(server: &Server, caller: &Caller, found: &Registered, args: Args<'_>) -> Result {
    check_caller(server, caller, found, args)
        .map_err(|denied| denied.error(caller.identity.user(), found))
}

/// Whether a caller with restrictions may make a call, without a word to anybody.
#[inline]
pub fn check_caller(
    server: &Server,
    caller: &Caller,
    found: &Registered,
    args: Args<'_>,
) -> Result<(), Denied> {
    let count = server.keyspace.databases();
    check(caller.identity.user(), found, args, Databases { current: caller.db, count })
}

/// Notes a call that was not admitted, if the reason was a lack of permission.
#[cold]
pub fn note_refusal(
    server: &Server,
    settings: &Settings,
    caller: &mut Caller,
    found: &Registered,
    args: Args<'_>,
) {
    // What is refused to everybody is no denial.
    let is_refused =
        authenticated(caller, found).is_err() || restricted(caller, found, settings).is_err();
    if !is_refused
        && caller.identity.is_restricted()
        && let Err(denied) = check_caller(server, caller, found, args)
    {
        note(server, settings, caller, own_context(caller), denied, found, args);
    }
}

/// Whether a caller may make a call that was not admitted as a request of its own: of a queue, of a command
/// that waited, of a script. Counts and logs it if not.
pub fn check_inner(
    server: &Server,
    settings: &Settings,
    caller: &mut Caller,
    context: Context,
    found: &Registered,
    args: Args<'_>,
) -> Result<(), Denied> {
    let checked = check_caller(server, caller, found, args);
    if let Err(denied) = checked {
        note(server, settings, caller, context, denied, found, args);
    }
    checked
}

/// Counts and logs a denial.
fn note(
    server: &Server,
    settings: &Settings,
    caller: &mut Caller,
    context: Context,
    denied: Denied,
    found: &Registered,
    args: Args<'_>,
) {
    let object = denied.object(found, args);
    let user = caller.identity.user().name.clone();
    note_denial(server, settings, caller, context, denied.reason, object, user);
}

/// The context of what a client asks for itself.
pub fn own_context(caller: &Caller) -> Context {
    if caller.transaction.is_active() { Context::Multi } else { Context::TopLevel }
}

/// Counts and logs a denial of `object` to `user`.
pub fn note_denial(
    server: &Server,
    settings: &Settings,
    caller: &mut Caller,
    context: Context,
    reason: Reason,
    object: Vec<u8>,
    user: Box<[u8]>,
) {
    server.acl.log.count(reason);
    if caller.origin != Origin::Unblocked {
        caller.publish();
    }
    let now = unix_milliseconds();
    let client = caller.record.line(now, &server.command_names).into_bytes();
    let denial = Denial { reason, context, object, user, client };
    server.acl.log.add(denial, now, settings.acllog_max_len as usize);
}
