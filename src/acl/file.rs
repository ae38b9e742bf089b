//! Users as files declare them: the lines of an ACL file, and `user` lines of the configuration file.

use super::rule::join_selectors;
use super::{Commands, RuleError, Rules, User};

/// Reads an ACL file: all users that it declares, or everything that is wrong with it. `name` is what errors
/// call the file.
pub fn parse_file(name: &str, text: &[u8], rules: Rules<'_>) -> Result<Vec<User>, Vec<u8>> {
    let mut users: Vec<User> = Vec::new();
    let mut errors = Vec::new();
    // Names of users whose lines are wrong count as declared.
    let mut names: Vec<&[u8]> = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = trim(line);
        if line.is_empty() {
            continue;
        }
        let mut words = line.split(|byte| *byte == b' ');
        let place = format!("{name}:{}", index + 1);
        let (Some(b"user"), Some(user)) = (words.next(), words.next()) else {
            let why = " should start with user keyword followed by the username. ";
            errors.extend([place.as_bytes(), why.as_bytes()].concat());
            continue;
        };
        if !User::is_valid_name(user) {
            let begin = format!("'{place}: username '");
            errors.extend([begin.as_bytes(), user, b"' contains invalid characters. "].concat());
            continue;
        }
        if names.contains(&user) {
            let end = format!("' found on line {}. ", index + 1);
            errors.extend([b"WARNING: Duplicate user '", user, end.as_bytes()].concat());
            continue;
        }
        names.push(user);
        let mut declared = User::new(user, rules);
        for error in apply_all(&mut declared, words, rules) {
            errors.extend([place.as_bytes(), b": ", &*error, b". "].concat());
        }
        users.push(declared);
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.extend(
        b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
    Err(errors)
}

/// What is wrong with the rules of a line, which are obeyed one after the other.
fn apply_all<'a>(
    user: &mut User,
    words: impl Iterator<Item = &'a [u8]>,
    rules: Rules<'_>,
) -> Vec<Vec<u8>> {
    let modifiers = match join_selectors(words) {
        Ok(modifiers) => modifiers,
        Err(first) => {
            let begin = b"Unmatched parenthesis in acl selector starting at '";
            return vec![[&begin[..], first, b"'"].concat()];
        }
    };
    let mut errors = Vec::new();
    // Of the others the first one is told, as on Valkey.
    let mut is_told = false;
    for modifier in &modifiers {
        match user.apply(modifier, rules) {
            Err(error @ RuleError::UnknownCommand) => {
                let end = format!("': {error}");
                let begin = &b"Error in applying operation '"[..];
                errors.push([begin, modifier, end.as_bytes()].concat());
            }
            Err(error) if !is_told => {
                is_told = true;
                errors.push(error.to_string().into_bytes());
            }
            Ok(()) | Err(_) => {}
        }
    }
    errors
}

fn trim(mut line: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    while let [first, rest @ ..] = line
        && is_space(first)
    {
        line = rest;
    }
    while let [rest @ .., last] = line
        && is_space(last)
    {
        line = rest;
    }
    line
}

/// A user as the configuration file declares it.
#[derive(Clone, Debug)]
pub struct Declaration {
    pub name: Vec<u8>,
    pub rules: Vec<Vec<u8>>,
}

impl Declaration {
    /// What is wrong with it, as far as that can be told without the names of commands.
    pub fn check(&self) -> Result<(), String> {
        let commands = Commands::new(Vec::new());
        let rules = Rules { commands: &commands, all_channels: false };
        let mut user = User::new(&self.name, rules);
        let modifiers = join_selectors(self.rules.iter().map(Vec::as_slice));
        for modifier in modifiers.map_err(|_| "Wrong format")? {
            match user.apply(&modifier, rules) {
                Ok(()) | Err(RuleError::UnknownCommand) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// The user that it declares, or a text for the log.
    pub fn user(&self, rules: Rules<'_>) -> Result<User, String> {
        if !User::is_valid_name(&self.name) {
            return Err("Spaces not allowed in ACL usernames".into());
        }
        let mut user = User::new(&self.name, rules);
        let modifiers = join_selectors(self.rules.iter().map(Vec::as_slice));
        for modifier in modifiers.map_err(|_| "Wrong format")? {
            user.apply(&modifier, rules).map_err(|error| {
                format!(
                    "Error loading ACL rule '{}' for the user named '{}': {error}",
                    String::from_utf8_lossy(&modifier),
                    String::from_utf8_lossy(&self.name)
                )
            })?;
        }
        Ok(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{Categories, CommandEntry};

    fn parse(text: &str) -> Result<Vec<String>, String> {
        let categories = Categories::READ;
        let get = CommandEntry { name: "get".into(), categories, parent: None };
        let commands = Commands::new(vec![get]);
        let rules = Rules { commands: &commands, all_channels: false };
        let text_of = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        match parse_file("users.acl", text.as_bytes(), rules) {
            Ok(users) => Ok(users.iter().map(|user| text_of(user.line())).collect()),
            Err(error) => Err(text_of(error)),
        }
    }

    #[test]
    fn lines_are_trimmed_and_may_be_empty() {
        let users = parse("\n  user alice on (+get  ~a) \r\n\nuser bob +@read").unwrap();
        assert_eq!(
            users,
            [
                "user alice on resetchannels -@all (~a resetchannels -@all +get)",
                "user bob off resetchannels -@all +@read"
            ]
        );
    }

    /// Observed on Valkey 9.1, but for the last one, by which it ends.
    #[test]
    fn all_errors_are_told_with_their_lines() {
        let end = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
        for (text, errors) in [
            (
                "user a on nope\nuser b +nope\nuser b\nfoo",
                "users.acl:1: Syntax error. users.acl:2: Error in applying operation '+nope': Unknown \
                 command or category name in ACL. WARNING: Duplicate user 'b' found on line 3. \
                 users.acl:4 should start with user keyword followed by the username. ",
            ),
            (
                "# no comments",
                "users.acl:1 should start with user keyword followed by the username. ",
            ),
            ("user", "users.acl:1 should start with user keyword followed by the username. "),
            ("user a\tb on", "'users.acl:1: username 'a\tb' contains invalid characters. "),
            (
                "user a on (+get",
                "users.acl:1: Unmatched parenthesis in acl selector starting at '(+get'. ",
            ),
        ] {
            assert_eq!(parse(text), Err(format!("{errors}{end}")), "{text}");
        }
    }
}
