//! The command table at run time: lookup by name, keys of a call.

use std::collections::HashMap;
use std::sync::LazyLock;

use rapidhash::fast::RandomState;
use smallvec::SmallVec;

use super::permission::Uses;
use super::spec::{BeginSearch, FindKeys, KeySpec};
use super::{Command, CommandError, FAMILIES, Result};
use crate::acl;
use crate::keyspace::Key;
use crate::resp::Args;

/// Bytes of the longest command name; no word longer than this is looked up.
const MAX_NAME: usize = 32;

/// A command with its place in the statistics.
pub struct Registered {
    pub command: &'static Command,
    /// Dense, from 0; commands and subcommands together.
    pub id: usize,
    /// `get`, `config|get`.
    pub full_name: String,
    pub subcommands: HashMap<&'static str, Registered, RandomState>,
    /// The only key is the first argument: most commands, on a short path.
    pub first_key_only: bool,
    /// What a user must be allowed for a call.
    pub uses: Uses,
}

/// All commands by name.
pub struct CommandTable {
    commands: HashMap<&'static str, Registered, RandomState>,
    /// Full names by id.
    names: Vec<String>,
}

static TABLE: LazyLock<CommandTable> = LazyLock::new(CommandTable::new);

/// The one command table.
pub fn table() -> &'static CommandTable {
    &TABLE
}

impl CommandTable {
    fn new() -> Self {
        let mut names = Vec::new();
        let commands = FAMILIES
            .iter()
            .copied()
            .flatten()
            .map(|command| (command.name, Registered::new(command, None, &mut names)))
            .collect();
        CommandTable { commands, names }
    }

    /// What the rules of users need to know of all commands and subcommands, by id.
    pub fn for_rules(&self) -> acl::Commands {
        let mut entries: Vec<_> = self
            .commands
            .values()
            .flat_map(|found| {
                let subcommands = found.subcommands.values().map(|sub| (sub, Some(found.id)));
                [(found, None)].into_iter().chain(subcommands)
            })
            .collect();
        entries.sort_unstable_by_key(|(found, _)| found.id);
        let entry = |(found, parent): (&Registered, Option<usize>)| acl::CommandEntry {
            name: found.full_name.clone(),
            categories: found.command.categories(),
            parent,
        };
        acl::Commands::new(entries.into_iter().map(entry).collect())
    }

    /// `get`, `config|get`: the name of the command or subcommand with that id.
    ///
    /// # Panics
    /// If there is none.
    pub fn full_name(&self, id: usize) -> &str {
        &self.names[id]
    }

    /// The command of that name, in any case.
    pub fn get(&self, name: &[u8]) -> Option<&Registered> {
        lowercase(name, &mut [0; MAX_NAME]).and_then(|name| self.commands.get(name))
    }

    /// All commands, without their subcommands, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Registered> {
        self.commands.values()
    }

    /// The command or subcommand that a request names. Its arity is not checked.
    pub fn resolve(&self, args: Args<'_>) -> Result<&Registered> {
        let Some(mut found) = self.get(&args[0]) else { return Err(unknown_command(args)) };
        if !found.subcommands.is_empty() && args.len() > 1 {
            found = found
                .subcommand(&args[1])
                .ok_or_else(|| unknown_subcommand(&found.full_name, &args[1]))?;
        }
        Ok(found)
    }
}

impl Registered {
    fn new(command: &'static Command, parent: Option<&str>, names: &mut Vec<String>) -> Self {
        let full_name = match parent {
            Some(parent) => format!("{parent}|{}", command.name),
            None => command.name.to_owned(),
        };
        let id = names.len();
        names.push(full_name.clone());
        let subcommands = command
            .subcommands
            .iter()
            .map(|sub| (sub.name, Registered::new(sub, Some(&full_name), names)))
            .collect();
        let first_key_only = matches!(
            command.keys,
            [KeySpec {
                begin: BeginSearch::Index(1),
                find: FindKeys::Range { last: 0, limit: 0, .. },
                ..
            }]
        );
        let uses = Uses::of(command, first_key_only);
        Registered { command, id, full_name, subcommands, first_key_only, uses }
    }

    /// Whether it takes so many arguments.
    #[inline]
    pub fn check_arity(&self, args: Args<'_>) -> Result {
        if self.command.accepts(args.len()) {
            Ok(())
        } else {
            Err(CommandError::arity(&self.full_name))
        }
    }

    pub fn subcommand(&self, name: &[u8]) -> Option<&Registered> {
        lowercase(name, &mut [0; MAX_NAME]).and_then(|name| self.subcommands.get(name))
    }
}

fn lowercase<'a>(name: &[u8], buffer: &'a mut [u8; MAX_NAME]) -> Option<&'a str> {
    let buffer = buffer.get_mut(..name.len())?;
    buffer.copy_from_slice(name);
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).ok()
}

/// Longest quote of a client's words in an error, as in Valkey.
const MAX_QUOTE: usize = 128;

/// What an error quotes of a client's words: as much as it shows, and nothing after a zero byte.
fn quote(bytes: &[u8], limit: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(limit)];
    memchr::memchr(0, bytes).map_or(bytes, |end| &bytes[..end])
}

fn unknown_command(args: Args<'_>) -> CommandError {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(quote(&args[0], MAX_QUOTE));
    text.extend_from_slice(b"', with args beginning with: ");
    let start = text.len();
    for arg in args.iter().skip(1) {
        let shown = text.len() - start;
        if shown >= MAX_QUOTE {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(quote(arg, MAX_QUOTE - shown));
        text.extend_from_slice(b"' ");
    }
    text.into()
}

fn unknown_subcommand(command: &str, name: &[u8]) -> CommandError {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(quote(name, MAX_QUOTE));
    text.extend_from_slice(format!("'. Try {} HELP.", command.to_uppercase()).as_bytes());
    text.into()
}

/// The last of some words that each have a value after them, and its position.
fn last_keyword(
    args: Args<'_>,
    words: &[&'static str],
    from: i32,
) -> Option<(&'static str, usize)> {
    let (mut last, mut at) = (None, usize::try_from(from).ok()?);
    while at + 1 < args.len() {
        match words.iter().find(|word| args[at].eq_ignore_ascii_case(word.as_bytes())) {
            Some(word) => {
                last = Some((*word, at));
                at += 2;
            }
            None => at += 1,
        }
    }
    last
}

/// The keys of a call, in the order of the key specs. If they can't be told there are fewer: the command
/// then answers what is wrong with its arguments.
pub fn keys_of<'a>(found: &Registered, args: Args<'a>) -> SmallVec<[Key<'a>; 2]> {
    let mut keys = SmallVec::new();
    if found.first_key_only {
        keys.extend(args.get(1).map(Key::new));
    } else if !found.command.keys.is_empty() {
        let _ = key_positions(found.command.keys, args, |index, _| {
            if keys.len() == keys.capacity() {
                keys.reserve(args.len() - index);
            }
            keys.push(Key::new(args.at(index)));
        });
    }
    keys
}

/// Calls `each` with the position of every key of a call, in the order of the key specs.
///
/// Fails if the arguments end before a spec's keys, or if a counted spec's count is no number or more
/// than there are arguments; the keys of the specs before it are told all the same. The command itself
/// then answers what is wrong.
pub fn key_positions(
    specs: &[KeySpec],
    args: Args<'_>,
    mut each: impl FnMut(usize, &KeySpec),
) -> Option<()> {
    for spec in specs {
        let first = match spec.begin {
            BeginSearch::Index(index) => index,
            BeginSearch::Keyword(word, from) => {
                let is_word = |i: &usize| args[*i].eq_ignore_ascii_case(word.as_bytes());
                let found = if from >= 0 {
                    (from as usize..args.len().saturating_sub(1)).find(is_word)
                } else {
                    let start = args.len().checked_sub(from.unsigned_abs() as usize)?;
                    (1..=start).rev().find(is_word)
                };
                match found {
                    Some(index) => index + 1,
                    None => continue,
                }
            }
            BeginSearch::LastKeyword(words, from) => match last_keyword(args, words, from) {
                Some((word, index)) if words.first() == Some(&word) => index + 1,
                _ => continue,
            },
            BeginSearch::Unknown => continue,
            BeginSearch::Computed(find) => {
                find(args).into_iter().for_each(|index| each(index, spec));
                continue;
            }
        };
        match spec.find {
            FindKeys::Range { last, step, limit } => {
                if first >= args.len() {
                    return None;
                }
                let last = if last >= 0 {
                    first + last as usize
                } else if limit <= 1 {
                    args.len().checked_sub(last.unsigned_abs() as usize)?
                } else {
                    first + (args.len() - first) / limit - 1 + 1 - last.unsigned_abs() as usize
                };
                (first..=last.min(args.len() - 1)).step_by(step).for_each(|i| each(i, spec));
            }
            FindKeys::Number { count, first: offset, step } => {
                let count = crate::number::parse_i64(args.get(first + count)?)?;
                let count = usize::try_from(count).ok()?;
                let first = first + offset;
                let end = count.checked_mul(step)?.checked_add(first)?;
                if count == 0 || end - step >= args.len() {
                    return None;
                }
                (first..end).step_by(step).for_each(|i| each(i, spec));
            }
            FindKeys::Unknown => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Categories, Flags, KeyFlags};
    use crate::resp::{Limits, RequestParser};

    fn with_args<R>(line: &str, check: impl FnOnce(Args<'_>) -> R) -> R {
        let mut parser = RequestParser::default();
        let line = format!("{line}\r\n");
        let request =
            parser.parse(line.as_bytes(), &Limits::authenticated(1 << 20)).unwrap().unwrap();
        check(parser.args(line.as_bytes(), &request))
    }

    fn keys(spec: KeySpec, line: &str) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        with_args(line, |args| key_positions(&[spec], args, |i, _| found.push(i))).map(|()| found)
    }

    #[test]
    fn key_specs_find_their_keys() {
        let ro = KeyFlags::RO;
        assert_eq!(keys(KeySpec::one(1, ro), "get a"), Some(vec![1]));
        assert_eq!(keys(KeySpec::range(1, -1, 1, ro), "del a b c"), Some(vec![1, 2, 3]));
        assert_eq!(keys(KeySpec::range(1, -1, 2, ro), "mset a 1 b 2"), Some(vec![1, 3]));
        assert_eq!(keys(KeySpec::range(2, -1, 1, ro), "pfmerge a"), None);
        assert_eq!(keys(KeySpec::counted(1, 1, ro), "sintercard 2 a b limit 1"), Some(vec![2, 3]));
        assert_eq!(keys(KeySpec::counted(1, 2, ro), "msetex 2 a 1 b 2 ex 9"), Some(vec![2, 4]));
        for bad in ["x 3 a b", "x 0 a", "x -1 a", "x y a", "x 99999999999 a", "x"] {
            assert_eq!(keys(KeySpec::counted(1, 1, ro), bad), None, "{bad}");
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_errors_name_them() {
        let table = table();
        assert_eq!(table.get(b"GeT").unwrap().full_name, "get");
        assert!(table.get(&[b'x'; 100]).is_none());
        let error = with_args("nope a b", |args| table.resolve(args).err().unwrap());
        assert_eq!(error, "ERR unknown command 'nope', with args beginning with: 'a' 'b' ".into());
        let error =
            with_args("get", |args| table.resolve(args).unwrap().check_arity(args).unwrap_err());
        assert_eq!(error, "ERR wrong number of arguments for 'get' command".into());
    }

    #[test]
    fn categories_follow_from_flags() {
        let table = table();
        let get = table.get(b"get").unwrap().command;
        assert!(get.flags.contains(Flags::READONLY | Flags::FAST));
        assert_eq!(get.categories(), Categories::READ | Categories::STRING | Categories::FAST);
    }
}
