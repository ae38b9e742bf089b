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

use parking_lot::{Mutex, MutexGuard};

use crate::lua::{Kind, Sequence, State};

pub use cache::{Digest, Script, ScriptCache};
pub use libraries::{FunctionInfo, Libraries, LibraryInfo, Loading, RestorePolicy, is_name};
pub use running::{Running, RunningScript, ScriptKind};
pub use shebang::{Shebang, metadata};

/// What all threads share of scripting.
pub struct Scripts {
    engine: Mutex<Engine>,
    /// The script that has run for so long that others are told.
    pub running: Running,
    /// The figures as they were when the engine was last free, for those who ask while a script has it.
    figures: Mutex<Figures>,
}

/// Figures of what was loaded, and bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub scripts: usize,
    pub libraries: usize,
    pub functions: usize,
    /// Scripts that had to make room for others.
    pub evicted: u64,
    /// The states of Lua.
    pub script_state: u64,
    pub function_state: u64,
    /// Texts, and what is known of them.
    pub script_texts: u64,
    pub library_texts: u64,
}

impl Figures {
    /// Bytes of both states.
    pub fn states(&self) -> u64 {
        self.script_state + self.function_state
    }
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
            figures: Mutex::default(),
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
        *self.figures.lock() = engine.figures();
        result
    }

    /// The figures as they are, or as they were before the script that runs.
    pub fn figures(&self) -> Figures {
        let mut figures = self.figures.lock();
        if let Some(engine) = self.engine.try_lock() {
            *figures = engine.figures();
        }
        *figures
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

    fn figures(&self) -> Figures {
        let used = |state: &Option<State>| state.as_ref().map_or(0, State::used_memory) as u64;
        Figures {
            scripts: self.cache.count(),
            libraries: self.libraries.count(),
            functions: self.libraries.functions(),
            evicted: self.cache.evicted(),
            script_state: used(&self.scripts),
            function_state: used(&self.functions),
            script_texts: self.cache.memory() as u64,
            library_texts: self.libraries.memory() as u64,
        }
    }
}
