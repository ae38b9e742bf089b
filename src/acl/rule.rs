//! Rules as users write them: what they need to know, why one is refused, and selectors that stand in
//! several words.

use std::borrow::Cow;
use std::fmt;

use super::Commands;

/// What rules are read by.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    pub commands: &'a Commands,
    /// New users may use all channels (`acl-pubsub-default`).
    pub all_channels: bool,
}

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    Syntax,
    UnknownCommand,
    /// All keys are allowed already.
    AfterAllKeys,
    /// All channels are allowed already.
    AfterAllChannels,
    BadHash,
    NoSuchPassword,
    FirstArgumentOfSubcommand,
    Database,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RuleError::Syntax => "Syntax error",
            RuleError::UnknownCommand => "Unknown command or category name in ACL",
            RuleError::AfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not \
                 have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::AfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does \
                 not have any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal \
                 characters"
            }
            RuleError::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            RuleError::FirstArgumentOfSubcommand => {
                "Allowing first-arg of a subcommand is not supported"
            }
            RuleError::Database => "The provided database ID is out of range",
        })
    }
}

/// Joins the words of each selector, from the one that begins with `(` to the one that ends with `)`, with
/// spaces. Fails with the first word of a selector that does not end.
pub fn join_selectors<'a>(
    words: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Cow<'a, [u8]>>, &'a [u8]> {
    let mut rules: Vec<Cow<'a, [u8]>> = Vec::new();
    let mut words = words.into_iter();
    while let Some(first) = words.next() {
        let mut rule = Cow::Borrowed(first);
        if first.first() == Some(&b'(') {
            while rule.last() != Some(&b')') {
                let next = words.next().ok_or(first)?;
                rule = Cow::Owned([&rule, &b" "[..], next].concat());
            }
        }
        rules.push(rule);
    }
    Ok(rules)
}
