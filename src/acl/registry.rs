//! All users of the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::user::{DEFAULT, User};
use super::{Commands, Log, Rules};

/// The users, and what was denied to them.
pub struct Acl {
    pub commands: Commands,
    pub log: Log,
    users: Mutex<BTreeMap<Box<[u8]>, Arc<User>>>,
    /// Grows with each change of a user.
    generation: CachePadded<AtomicU64>,
}

impl Acl {
    /// With the default user alone, who may do everything.
    pub fn new(commands: Commands) -> Self {
        let default = User::unlimited(DEFAULT, &commands);
        let users = BTreeMap::from([(default.name.clone(), Arc::new(default))]);
        Acl {
            commands,
            log: Log::default(),
            users: Mutex::new(users),
            generation: CachePadded::default(),
        }
    }

    /// What rules are read by; `all_channels` is what `acl-pubsub-default` says.
    pub fn rules(&self, all_channels: bool) -> Rules<'_> {
        Rules { commands: &self.commands, all_channels }
    }

    /// A number that is another one after each change of a user.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users.lock().get(name).cloned()
    }

    /// The user of connections that have not authenticated as another.
    pub fn default_user(&self) -> Arc<User> {
        self.get(DEFAULT).expect("the default user is never removed")
    }

    /// All users in the order of their names.
    pub fn users(&self) -> Vec<Arc<User>> {
        self.users.lock().values().cloned().collect()
    }

    /// Adds a user, or puts it in the place of the one of its name, which it returns.
    pub fn set(&self, user: User) -> Option<Arc<User>> {
        let old = self.users.lock().insert(user.name.clone(), Arc::new(user));
        self.generation.fetch_add(1, Ordering::Release);
        old
    }

    /// Removes a user, if there is one of that name. It must not be the default user.
    pub fn remove(&self, name: &[u8]) -> bool {
        let removed = self.users.lock().remove(name).is_some();
        self.generation.fetch_add(1, Ordering::Release);
        removed
    }

    /// Replaces all users; without one of that name, the default user is as it was at first.
    pub fn replace(&self, users: Vec<User>) {
        let mut users: BTreeMap<Box<[u8]>, Arc<User>> =
            users.into_iter().map(|user| (user.name.clone(), Arc::new(user))).collect();
        let unlimited = || Arc::new(User::unlimited(DEFAULT, &self.commands));
        users.entry(DEFAULT.into()).or_insert_with(unlimited);
        *self.users.lock() = users;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The user of that name, if the password is right and it is enabled.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        self.get(name).filter(|user| user.accepts(password))
    }

    /// Gives the default user its only password; empty for none (`requirepass`).
    pub fn set_default_password(&self, password: &[u8]) {
        let mut user = User::clone(&self.default_user());
        user.set_password(password);
        self.set(user);
    }
}
