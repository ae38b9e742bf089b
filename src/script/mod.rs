//! Scripts and libraries of functions as the server keeps them, and the one that runs. It knows neither commands nor
//! clients.
//!
//! There are two states of Lua, one for the scripts of EVAL and one for functions, whichever worker runs them: both
//! keep their globals and upvalues between calls, so a second state for another worker would be seen. A script has
//! the whole keyspace to itself anyway.

mod cache;
mod libraries;
mod running;
mod shebang;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::lua::{Kind, Sequence, State};

pub use cache::{Digest, Script, ScriptCache};
pub use libraries::{FunctionInfo, Libraries, LibraryInfo, Loading, RestorePolicy, is_name};
pub use running::{Running, RunningScript, ScriptKind, Stopped};
pub use shebang::{Shebang, metadata};

/// What all threads share of scripting.
pub struct Scripts {
    engine: Mutex<Engine>,
    /// The script that has run for so long that others are told.
    pub running: Running,
    /// Libraries and functions, for those who can't have the engine.
    loaded: [AtomicUsize; 2],
}

/// The states of Lua, and what was loaded into them. A state is made when it is first needed.
pub struct Engine {
    pub cache: ScriptCache,
    pub libraries: Libraries,
    scripts: Option<State>,
    functions: Option<State>,
    random: Arc<Sequence>,
    /// Bytes that a state may have.
    limit: usize,
}

impl Scripts {
    /// With so many bytes of memory for each state of Lua.
    pub fn new(limit: usize) -> Scripts {
        Scripts {
            engine: Mutex::new(Engine::new(limit)),
            running: Running::default(),
            loaded: Default::default(),
        }
    }

    /// The engine. Whoever runs a script has it until that ends.
    pub fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock()
    }

    /// Changes the libraries.
    pub fn change<R>(&self, change: impl FnOnce(&mut Engine) -> R) -> R {
        let mut engine = self.engine();
        let result = change(&mut engine);
        let loaded = [engine.libraries.len(), engine.libraries.functions()];
        self.loaded.iter().zip(loaded).for_each(|(to, n)| to.store(n, Ordering::Relaxed));
        result
    }

    /// The number of libraries, and that of their functions.
    pub fn loaded(&self) -> (usize, usize) {
        let [libraries, functions] = &self.loaded;
        (libraries.load(Ordering::Relaxed), functions.load(Ordering::Relaxed))
    }
}

/// The error where there is no memory for a state of Lua.
const NO_MEMORY: &[u8] = b"ERR not enough memory for a state of Lua";

impl Engine {
    fn new(limit: usize) -> Engine {
        Engine {
            cache: ScriptCache::default(),
            libraries: Libraries::default(),
            scripts: None,
            functions: None,
            random: Arc::default(),
            limit,
        }
    }

    fn state<'s>(
        state: &'s mut Option<State>,
        kind: Kind,
        limit: usize,
        random: &Arc<Sequence>,
    ) -> Result<&'s mut State, Vec<u8>> {
        if state.is_none() {
            *state = State::new(kind, limit, random.clone());
        }
        state.as_mut().ok_or_else(|| NO_MEMORY.to_vec())
    }

    /// The state of scripts, and their cache.
    ///
    /// # Errors
    /// If there is no memory for the state.
    pub fn scripts(&mut self) -> Result<(&mut State, &mut ScriptCache), Vec<u8>> {
        let state = Self::state(&mut self.scripts, Kind::Scripts, self.limit, &self.random)?;
        Ok((state, &mut self.cache))
    }

    /// The state of functions, and their libraries.
    ///
    /// # Errors
    /// If there is no memory for the state.
    pub fn functions(&mut self) -> Result<(&mut State, &mut Libraries), Vec<u8>> {
        let state = Self::state(&mut self.functions, Kind::Functions, self.limit, &self.random)?;
        Ok((state, &mut self.libraries))
    }

    /// Forgets all scripts, and the state that they ran in. The result is to be dropped where that may take its
    /// time.
    #[must_use]
    pub fn flush_scripts(&mut self) -> impl Send + use<> {
        (self.cache.flush(), self.scripts.take())
    }

    /// Forgets all libraries, and the state that they ran in. The result is to be dropped where that may take its
    /// time.
    #[must_use]
    pub fn flush_functions(&mut self) -> impl Send + use<> {
        (std::mem::take(&mut self.libraries), self.functions.take())
    }

    /// Bytes of memory of the states: that of scripts, and that of functions.
    pub fn state_memory(&self) -> (usize, usize) {
        let used = |state: &Option<State>| state.as_ref().map_or(0, State::used_memory);
        (used(&self.scripts), used(&self.functions))
    }
}
