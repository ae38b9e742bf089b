//! A selector: one set of permissions of a user, compiled for the checks.

use super::pattern::{ChannelPatterns, KeyAccess, KeyPatterns};
use super::{Categories, Commands, RuleError, Rules};
use crate::words::split;

/// What a selector allows.
#[derive(Clone, Debug)]
pub struct Selector {
    /// One bit for each command.
    commands: Box<[u64]>,
    /// Commands that are allowed with these first arguments.
    first_args: Vec<(usize, Vec<Box<[u8]>>)>,
    all_keys: bool,
    keys: KeyPatterns,
    all_channels: bool,
    channels: ChannelPatterns,
    /// In ascending order; `None` for all.
    databases: Option<Vec<u32>>,
    /// Whether all commands were allowed, or none, before the rules that are left.
    base: bool,
    /// The rules for commands since then: whether they allow, and what.
    rules: Vec<(bool, Box<[u8]>)>,
}

impl Selector {
    /// One that allows nothing but what every new one does.
    pub fn new(rules: Rules<'_>) -> Self {
        Selector {
            commands: vec![0; rules.commands.all().len()].into(),
            first_args: Vec::new(),
            all_keys: false,
            keys: KeyPatterns::default(),
            all_channels: rules.all_channels,
            channels: ChannelPatterns::default(),
            databases: None,
            base: false,
            rules: Vec::new(),
        }
    }

    /// Reads the words of a selector, without its parentheses. They may be quoted.
    pub fn parse(words: &[u8], rules: Rules<'_>) -> Result<Self, RuleError> {
        let mut selector = Selector::new(rules);
        for rule in split(words).ok_or(RuleError::Syntax)? {
            // An empty word is no rule, and is not one of a user either.
            if rule.is_empty() {
                return Err(RuleError::Syntax);
            }
            selector.apply(&rule, rules.commands)?;
        }
        Ok(selector)
    }

    // --- Checks ---

    /// Whether the command of that id is allowed with whatever arguments.
    #[inline]
    pub fn has_command(&self, id: usize) -> bool {
        self.commands[id / 64] & 1 << (id % 64) != 0
    }

    /// Whether the command of that id is allowed with `first_arg` as its first argument.
    #[inline]
    pub fn allows_command(&self, id: usize, first_arg: Option<&[u8]>) -> bool {
        self.has_command(id) || !self.first_args.is_empty() && self.allows_first_arg(id, first_arg)
    }

    #[cold]
    fn allows_first_arg(&self, id: usize, first_arg: Option<&[u8]>) -> bool {
        let Some(first_arg) = first_arg else { return false };
        let mut allowed = self.first_args.iter().filter(|(command, _)| *command == id);
        allowed.any(|(_, args)| args.iter().any(|arg| arg.eq_ignore_ascii_case(first_arg)))
    }

    /// Whether a command may do that with a key.
    #[inline]
    pub fn allows_key(&self, key: &[u8], access: KeyAccess) -> bool {
        self.all_keys || self.keys.allow(key, access)
    }

    /// Whether a channel may be used, or a pattern of channels subscribed to.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels || self.channels.allow(channel, is_pattern)
    }

    #[inline]
    pub fn allows_database(&self, db: usize) -> bool {
        let allowed = |databases: &Vec<u32>| databases.iter().any(|known| *known as usize == db);
        self.databases.as_ref().is_none_or(allowed)
    }

    pub fn allows_all_databases(&self) -> bool {
        self.databases.is_none()
    }

    /// Whether every key may be read, whatever its name.
    pub fn reads_all_keys(&self) -> bool {
        let reads_all = |(pattern, access): (&super::Pattern, KeyAccess)| {
            pattern.text() == b"*" && access.contains(KeyAccess::READ)
        };
        self.all_keys || self.keys.iter().any(reads_all)
    }

    /// Whether there is nothing that it does not allow.
    pub fn is_unrestricted(&self, commands: &Commands) -> bool {
        *self.commands == *commands.all()
            && self.all_keys
            && self.all_channels
            && self.databases.is_none()
    }

    pub fn allows_all_channels(&self) -> bool {
        self.all_channels
    }

    /// The patterns of channels that are allowed; none if all are.
    pub fn channels(&self) -> impl Iterator<Item = &[u8]> {
        self.channels.iter().map(super::Pattern::text)
    }

    // --- Rules ---

    /// Obeys one rule, or leaves everything as it was.
    pub fn apply(&mut self, rule: &[u8], commands: &Commands) -> Result<(), RuleError> {
        let is = |word: &[u8]| rule.eq_ignore_ascii_case(word);
        match rule {
            b"" => {}
            b"~*" => self.allow_all_keys(),
            b"&*" => self.allow_all_channels(),
            [b'~', pattern @ ..] => self.add_keys(pattern, KeyAccess::all())?,
            [b'%', ..] if self.all_keys => return Err(RuleError::AfterAllKeys),
            [b'%', rest @ ..] => {
                let (access, pattern) = split_access(rest).ok_or(RuleError::Syntax)?;
                self.add_keys(pattern, access)?;
            }
            [b'&', pattern @ ..] => self.add_channels(pattern)?,
            [sign @ (b'+' | b'-'), b'@', name @ ..] => {
                self.change_category(*sign == b'+', name, commands)?;
            }
            [b'+', name @ ..] => self.allow(name, commands)?,
            [b'-', name @ ..] => self.forbid(name, commands)?,
            [d, b, b'=', list @ ..] if [*d, *b].eq_ignore_ascii_case(b"db") => {
                self.databases = Some(parse_databases(list)?);
            }
            _ if is(b"allkeys") => self.allow_all_keys(),
            _ if is(b"resetkeys") => {
                self.all_keys = false;
                self.keys.clear();
            }
            _ if is(b"allchannels") => self.allow_all_channels(),
            _ if is(b"resetchannels") => {
                self.all_channels = false;
                self.channels.clear();
            }
            _ if is(b"alldbs") => self.databases = None,
            _ if is(b"resetdbs") => self.databases = Some(Vec::new()),
            _ if is(b"allcommands") => self.change_all(true, commands),
            _ if is(b"nocommands") => self.change_all(false, commands),
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn allow_all_keys(&mut self) {
        self.all_keys = true;
        self.keys.clear();
    }

    fn allow_all_channels(&mut self) {
        self.all_channels = true;
        self.channels.clear();
    }

    fn add_keys(&mut self, pattern: &[u8], access: KeyAccess) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AfterAllKeys);
        }
        self.keys.add(in_one_word(pattern)?, access);
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AfterAllChannels);
        }
        self.channels.add(in_one_word(pattern)?);
        Ok(())
    }

    fn change_all(&mut self, allow: bool, commands: &Commands) {
        let all = commands.all();
        self.commands
            .iter_mut()
            .zip(all)
            .for_each(|(bits, all)| *bits = if allow { *all } else { 0 });
        self.first_args.clear();
        self.base = allow;
        self.rules.clear();
    }

    fn change_category(
        &mut self,
        allow: bool,
        name: &[u8],
        commands: &Commands,
    ) -> Result<(), RuleError> {
        if name.eq_ignore_ascii_case(b"all") {
            self.change_all(allow, commands);
            return Ok(());
        }
        let category = Categories::named(name).ok_or(RuleError::UnknownCommand)?;
        for id in commands.in_category(category) {
            self.change_family(allow, id, commands);
        }
        self.note_rule(allow, [b"@", name].concat());
        Ok(())
    }

    fn allow(&mut self, name: &[u8], commands: &Commands) -> Result<(), RuleError> {
        let name = name.to_ascii_lowercase();
        if let Some(id) = commands.find(&name) {
            self.change_family(true, id, commands);
            self.note_rule(true, name);
            return Ok(());
        }
        let bar = name.iter().rposition(|byte| *byte == b'|').ok_or(RuleError::UnknownCommand)?;
        let id = commands.find(&name[..bar]).ok_or(RuleError::UnknownCommand)?;
        let arg = &name[bar + 1..];
        if commands.entry(id).parent.is_some() {
            return Err(RuleError::FirstArgumentOfSubcommand);
        }
        if arg.is_empty() {
            return Err(RuleError::Syntax);
        }
        if commands.is_container(id) {
            return Err(RuleError::UnknownCommand);
        }
        self.add_first_arg(id, in_one_word(arg)?);
        self.note_rule(true, name);
        Ok(())
    }

    fn add_first_arg(&mut self, id: usize, arg: &[u8]) {
        let index = self.first_args.iter().position(|(command, _)| *command == id);
        let index = index.unwrap_or_else(|| {
            self.first_args.push((id, Vec::new()));
            self.first_args.len() - 1
        });
        let args = &mut self.first_args[index].1;
        if !args.iter().any(|known| **known == *arg) {
            args.push(arg.into());
        }
    }

    fn forbid(&mut self, name: &[u8], commands: &Commands) -> Result<(), RuleError> {
        let name = name.to_ascii_lowercase();
        let id = commands.find(&name).ok_or(RuleError::UnknownCommand)?;
        self.change_family(false, id, commands);
        self.note_rule(false, name);
        Ok(())
    }

    /// Allows or forbids a command and its subcommands.
    fn change_family(&mut self, allow: bool, id: usize, commands: &Commands) {
        for id in commands.family(id) {
            let bit = 1 << (id % 64);
            let word = &mut self.commands[id / 64];
            *word = if allow { *word | bit } else { *word & !bit };
            self.first_args.retain(|(command, _)| *command != id);
        }
    }

    /// Keeps a rule that was obeyed, in the place of those that it makes void.
    fn note_rule(&mut self, allow: bool, mut name: Vec<u8>) {
        name.make_ascii_lowercase();
        let is_void = |other: &[u8]| {
            other.strip_prefix(&*name).is_some_and(|rest| matches!(rest, [] | [b'|', ..]))
        };
        self.rules.retain(|(_, other)| !is_void(other));
        self.rules.push((allow, name.into()));
    }

    // --- Descriptions, by which the selector can be made again ---

    /// The rules for commands.
    pub fn command_rules(&self) -> Vec<u8> {
        let mut text = if self.base { b"+@all".to_vec() } else { b"-@all".to_vec() };
        for (allow, name) in &self.rules {
            text.extend(if *allow { b" +" } else { b" -" });
            text.extend(name);
        }
        text
    }

    /// The patterns of keys.
    pub fn key_rules(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let rules = self.keys.iter().map(|(pattern, access)| {
            let prefix: &[u8] = match access {
                KeyAccess::READ => b"%R~",
                KeyAccess::WRITE => b"%W~",
                _ => b"~",
            };
            [prefix, pattern.text()].concat()
        });
        rules.collect::<Vec<_>>().join(&b' ')
    }

    /// The patterns of channels.
    pub fn channel_rules(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let rules = self.channels.iter().map(|pattern| [b"&", pattern.text()].concat());
        rules.collect::<Vec<_>>().join(&b' ')
    }

    /// The databases: `alldbs`, or `db=` with their numbers; empty for none.
    pub fn database_rules(&self) -> Vec<u8> {
        match self.databases.as_deref() {
            None => b"alldbs".to_vec(),
            Some([]) => Vec::new(),
            Some(databases) => {
                let numbers: Vec<String> = databases.iter().map(u32::to_string).collect();
                format!("db={}", numbers.join(",")).into_bytes()
            }
        }
    }

    /// All of them in one line.
    pub fn line(&self) -> Vec<u8> {
        let mut words = vec![self.key_rules()];
        if !self.all_channels {
            words.push(b"resetchannels".to_vec());
        }
        words.push(self.channel_rules());
        match self.databases.as_deref() {
            None => {}
            Some([]) => words.push(b"resetdbs".to_vec()),
            Some(_) => words.push(self.database_rules()),
        }
        words.push(self.command_rules());
        words.retain(|word| !word.is_empty());
        words.join(&b' ')
    }
}

/// What follows the `%` of a rule for keys: what it allows, and the pattern.
fn split_access(rule: &[u8]) -> Option<(KeyAccess, &[u8])> {
    let mut access = KeyAccess::empty();
    for (index, byte) in rule.iter().enumerate() {
        let added = match byte {
            b'r' | b'R' => KeyAccess::READ,
            b'w' | b'W' => KeyAccess::WRITE,
            b'~' if !access.is_empty() => return Some((access, &rule[index + 1..])),
            _ => return None,
        };
        if access.contains(added) {
            return None;
        }
        access |= added;
    }
    // Without a pattern it is the empty one.
    (!access.is_empty()).then_some((access, &[]))
}

/// A pattern that can be written in one word of a line.
fn in_one_word(pattern: &[u8]) -> Result<&[u8], RuleError> {
    let breaks = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b);
    if pattern.iter().any(breaks) { Err(RuleError::Syntax) } else { Ok(pattern) }
}

fn parse_databases(list: &[u8]) -> Result<Vec<u32>, RuleError> {
    let mut databases = Vec::new();
    for number in list.split(|byte| *byte == b',') {
        let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
        let start = number.iter().position(|byte| !is_space(byte)).unwrap_or(0);
        let (is_negative, digits) = match &number[start..] {
            [sign @ (b'+' | b'-'), digits @ ..] => (*sign == b'-', digits),
            digits => (false, digits),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(RuleError::Syntax);
        }
        let number = digits.iter().fold(0, |number: u32, digit| {
            number.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
        });
        if number > i32::MAX as u32 || is_negative && number > 0 {
            return Err(RuleError::Database);
        }
        databases.push(number);
    }
    databases.sort_unstable();
    databases.dedup();
    Ok(databases)
}
