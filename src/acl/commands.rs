//! What rules need to know of commands: names and categories, by the ids of the command table.

use std::collections::HashMap;

use rapidhash::fast::RandomState;

use super::Categories;

/// One command or subcommand.
pub struct CommandEntry {
    /// In lower case: `get`, `config|get`.
    pub name: String,
    pub categories: Categories,
    /// The container that it is a subcommand of.
    pub parent: Option<usize>,
}

/// All commands and subcommands; an entry's index is the command's id.
pub struct Commands {
    entries: Box<[CommandEntry]>,
    ids: HashMap<Box<[u8]>, usize, RandomState>,
    /// One bit for each.
    all: Box<[u64]>,
}

impl Commands {
    pub fn new(entries: Vec<CommandEntry>) -> Self {
        let names = entries.iter().enumerate();
        let ids = names.map(|(id, entry)| (entry.name.as_bytes().into(), id)).collect();
        let mut all = vec![0; entries.len().div_ceil(64)];
        (0..entries.len()).for_each(|id| all[id / 64] |= 1 << (id % 64));
        Commands { entries: entries.into(), ids, all: all.into() }
    }

    /// The command of that name, which must be in lower case.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        self.ids.get(name).copied()
    }

    pub fn entry(&self, id: usize) -> &CommandEntry {
        &self.entries[id]
    }

    /// All names by id.
    pub fn names(&self) -> Box<[String]> {
        self.entries.iter().map(|entry| entry.name.clone()).collect()
    }

    /// Whether it is called by its subcommands.
    pub fn is_container(&self, id: usize) -> bool {
        self.entries.iter().any(|entry| entry.parent == Some(id))
    }

    /// The commands and subcommands of a category.
    pub fn in_category(&self, category: Categories) -> impl Iterator<Item = usize> {
        let entries = self.entries.iter().enumerate();
        entries.filter(move |(_, entry)| entry.categories.contains(category)).map(|(id, _)| id)
    }

    /// A command and its subcommands.
    pub fn family(&self, id: usize) -> impl Iterator<Item = usize> {
        let entries = self.entries.iter().enumerate();
        let subcommands = entries.filter(move |(_, entry)| entry.parent == Some(id));
        [id].into_iter().chain(subcommands.map(|(id, _)| id))
    }

    /// A set of all of them.
    pub(super) fn all(&self) -> &[u64] {
        &self.all
    }
}
