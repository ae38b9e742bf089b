//! A user: how it authenticates, and what it may do.

use super::password::PasswordHash;
use super::{Commands, RuleError, Rules, Selector};
use crate::words::quoted;

/// The user of connections that have not authenticated as another.
pub const DEFAULT: &[u8] = b"default";

/// A user as it is at one moment: a change makes another one.
#[derive(Clone, Debug)]
pub struct User {
    pub name: Box<[u8]>,
    /// New connections may authenticate as it.
    pub enabled: bool,
    /// Any password is right.
    pub no_password: bool,
    passwords: Vec<PasswordHash>,
    /// The permissions outside of parentheses.
    root: Selector,
    /// Those in parentheses. One selector that allows all of a call is enough.
    others: Vec<Selector>,
    /// There is nothing that it may not do.
    unrestricted: bool,
}

/// The line of a selector, to be put between parentheses: words that would end it, or be read as quoted, are
/// quoted.
fn quoted_line(line: &[u8]) -> Vec<u8> {
    let words = line.split(|byte| *byte == b' ').map(|word| {
        let is_plain = !word.iter().any(|byte| matches!(byte, b'"' | b'\'' | b')'));
        if is_plain { word.to_vec() } else { quoted(word) }
    });
    words.collect::<Vec<_>>().join(&b' ')
}

impl User {
    /// A user that may do nothing.
    pub fn new(name: &[u8], rules: Rules<'_>) -> Self {
        User {
            name: name.into(),
            enabled: false,
            no_password: false,
            passwords: Vec::new(),
            root: Selector::new(rules),
            others: Vec::new(),
            unrestricted: false,
        }
    }

    /// The default user as long as nobody has changed it.
    pub fn unlimited(name: &[u8], commands: &Commands) -> Self {
        let rules = Rules { commands, all_channels: true };
        let mut user = User { enabled: true, no_password: true, ..User::new(name, rules) };
        for rule in [&b"allkeys"[..], b"allcommands"] {
            user.root.apply(rule, commands).expect("the rule is a valid one");
        }
        user.unrestricted = true;
        user
    }

    /// Whether a name can be that of a user.
    pub fn is_valid_name(name: &[u8]) -> bool {
        !name.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b))
    }

    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// The permissions outside of parentheses.
    #[inline]
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// The selectors in parentheses.
    pub fn others(&self) -> &[Selector] {
        &self.others
    }

    /// All its selectors, the one outside of parentheses first.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        [&self.root].into_iter().chain(&self.others)
    }

    pub fn passwords(&self) -> &[PasswordHash] {
        &self.passwords
    }

    /// Whether connections are it without a word.
    pub fn needs_no_password(&self) -> bool {
        self.enabled && self.no_password
    }

    /// Whether it may authenticate with this password.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let is_right = || PasswordHash::of(password).is_in(&self.passwords);
        self.enabled && (self.no_password || is_right())
    }

    /// Whether a channel may be used, or a pattern of channels subscribed to.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors().any(|selector| selector.allows_channel(channel, is_pattern))
    }

    /// Whether every channel and pattern that `old` allows is allowed still, as far as the texts of the
    /// patterns tell.
    pub fn keeps_channels_of(&self, old: &User) -> bool {
        let allows_all = |user: &User| user.selectors().any(Selector::allows_all_channels);
        let is_kept =
            |text: &[u8]| self.selectors().flat_map(Selector::channels).any(|own| own == text);
        allows_all(self)
            || !allows_all(old) && old.selectors().flat_map(Selector::channels).all(is_kept)
    }

    /// Obeys one rule, or leaves everything as it was.
    pub fn apply(&mut self, rule: &[u8], rules: Rules<'_>) -> Result<(), RuleError> {
        let is = |word: &[u8]| rule.eq_ignore_ascii_case(word);
        match rule {
            [b'>', password @ ..] => self.add_password(PasswordHash::of(password)),
            [b'#', digits @ ..] => {
                self.add_password(PasswordHash::parse(digits).ok_or(RuleError::BadHash)?);
            }
            [b'<', password @ ..] => self.remove_password(PasswordHash::of(password))?,
            [b'!', digits @ ..] => {
                self.remove_password(PasswordHash::parse(digits).ok_or(RuleError::BadHash)?)?;
            }
            [b'(', words @ .., b')'] => self.others.push(Selector::parse(words, rules)?),
            _ if is(b"on") => self.enabled = true,
            _ if is(b"off") => self.enabled = false,
            _ if is(b"nopass") => {
                self.no_password = true;
                self.passwords.clear();
            }
            _ if is(b"resetpass") => {
                self.no_password = false;
                self.passwords.clear();
            }
            // Values that come in RESTORE are always checked.
            _ if is(b"skip-sanitize-payload") || is(b"sanitize-payload") => {}
            _ if is(b"clearselectors") => self.others.clear(),
            _ if is(b"reset") => *self = User::new(&self.name, rules),
            _ => self.root.apply(rule, rules.commands)?,
        }
        let is_unrestricted = |selector: &Selector| selector.is_unrestricted(rules.commands);
        let unrestricted = self.selectors().any(is_unrestricted);
        self.unrestricted = unrestricted;
        Ok(())
    }

    fn add_password(&mut self, hash: PasswordHash) {
        self.no_password = false;
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
    }

    fn remove_password(&mut self, hash: PasswordHash) -> Result<(), RuleError> {
        let index = self.passwords.iter().position(|known| *known == hash);
        self.passwords.remove(index.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// The only password of the default user, as `requirepass` says it; empty for none.
    pub fn set_password(&mut self, password: &[u8]) {
        self.passwords.clear();
        self.no_password = password.is_empty();
        if !password.is_empty() {
            self.add_password(PasswordHash::of(password));
        }
    }

    /// The rules that make it again, without its name.
    pub fn rules(&self) -> Vec<u8> {
        let mut words = vec![if self.enabled { b"on".to_vec() } else { b"off".to_vec() }];
        if self.no_password {
            words.push(b"nopass".to_vec());
        }
        words.extend(self.passwords.iter().map(|hash| format!("#{}", hash.digits()).into_bytes()));
        words.push(self.root().line());
        let selectors = self.others.iter();
        words.extend(
            selectors.map(|selector| [b"(", &*quoted_line(&selector.line()), b")"].concat()),
        );
        words.join(&b' ')
    }

    /// Its line in a file.
    pub fn line(&self) -> Vec<u8> {
        [b"user ", &*self.name, b" ", &*self.rules()].concat()
    }
}
