//! On whose behalf a caller calls: its user, and what follows from that for every call.

use std::sync::Arc;

use crate::acl::{Acl, User};

/// A caller's user.
#[derive(Clone)]
pub struct Identity {
    user: Arc<User>,
    /// The caller has authenticated as that user, or need not.
    authenticated: bool,
    /// It must authenticate before it may do anything else.
    anonymous: bool,
    /// There is something that it may not do.
    restricted: bool,
    /// The generation of the users that `user` is of.
    generation: u64,
}

impl Identity {
    /// The default user, as which every connection begins.
    pub fn new(acl: &Acl) -> Self {
        let user = acl.default_user();
        let authenticated = user.needs_no_password();
        let mut identity =
            Identity { user, authenticated, anonymous: true, restricted: true, generation: 0 };
        identity.refresh(acl);
        identity
    }

    /// One that may do everything: what it repeats was allowed before.
    pub fn unrestricted(acl: &Acl) -> Self {
        Identity { anonymous: false, restricted: false, ..Identity::new(acl) }
    }

    /// That of a caller which has authenticated as `user`.
    pub fn authenticated(user: Arc<User>, acl: &Acl) -> Self {
        let mut identity = Identity { user, authenticated: true, ..Identity::new(acl) };
        identity.refresh(acl);
        identity
    }

    /// As the users are now.
    pub fn user(&self) -> &User {
        &self.user
    }

    #[inline]
    pub fn is_restricted(&self) -> bool {
        self.restricted
    }

    #[inline]
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Takes notice of changed users, and says whether there was one since the last look.
    #[inline]
    pub fn look_at(&mut self, acl: &Acl) -> bool {
        let changed = self.generation != acl.generation();
        if changed {
            self.refresh(acl);
        }
        changed
    }

    #[cold]
    fn refresh(&mut self, acl: &Acl) {
        self.generation = acl.generation();
        // A user that is gone takes its connections with it.
        if let Some(user) = acl.get(&self.user.name) {
            self.user = user;
        }
        self.anonymous = !self.authenticated && !acl.default_user().needs_no_password();
        self.restricted = self.anonymous || !self.user.is_unrestricted();
    }
}
