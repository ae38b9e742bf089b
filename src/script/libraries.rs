//! Libraries of functions: their texts, and the functions that they have registered.

use std::collections::{BTreeMap, HashMap};

use smallvec::SmallVec;

use crate::lua::{
    Function, Host, Interrupt, LoadError, LogLevel, Registration, ScriptFlags, State,
};
use crate::rdb::{self, Reader, Writer};
use crate::resp::Protocol;

use super::shebang::metadata;

/// What the text of a library follows in a dump, as in the files of RDB.
const FUNCTION: u8 = 0xf5;

/// Whether these are letters, digits and underscores, and at least one.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// A function that can be called.
pub struct FunctionInfo {
    pub name: Box<[u8]>,
    pub function: Function,
    pub description: Option<Box<[u8]>>,
    pub flags: ScriptFlags,
}

/// A library as it is listed.
pub struct LibraryInfo<'a> {
    pub name: &'a str,
    pub code: &'a [u8],
    pub functions: &'a [FunctionInfo],
}

/// A library.
pub struct Library {
    code: Box<[u8]>,
    functions: Vec<FunctionInfo>,
}

/// All libraries.
#[derive(Default)]
pub struct Libraries {
    by_name: BTreeMap<String, Library>,
    /// The library of each function, and its place there, by the function's name in lower case.
    functions: HashMap<Box<[u8]>, (String, usize)>,
}

/// What becomes of the libraries that are there when others are restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestorePolicy {
    Flush,
    /// None may have the name of one that is restored.
    #[default]
    Append,
    /// Those with the name of one that is restored go.
    Replace,
}

/// Takes the functions that a library registers.
struct Loader<'a> {
    functions: Vec<FunctionInfo>,
    log: &'a mut dyn FnMut(LogLevel, &[u8]),
    may_go_on: &'a mut dyn FnMut() -> Interrupt,
}

impl Host for Loader<'_> {
    fn call(&mut self, _: &[&[u8]], _: Protocol) -> &[u8] {
        b"-ERR no command can be called while a library is loaded\r\n"
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        (self.log)(level, text);
    }

    fn set_replication(&mut self, _: u8) {}

    fn may_call(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn register(&mut self, function: Registration<'_>) -> Result<(), Vec<u8>> {
        let Registration { name, function, description, flags } = function;
        if !is_name(name) {
            return Err(
                b"ERR Function names can only contain letters, numbers, or underscores(_) and \
                         must be at least one character long"
                    .to_vec(),
            );
        }
        if self.functions.iter().any(|known| known.name.eq_ignore_ascii_case(name)) {
            return Err(b"ERR Function already exists in the library".to_vec());
        }
        let (name, description) = (name.into(), description.map(Into::into));
        self.functions.push(FunctionInfo { name, function, description, flags });
        Ok(())
    }

    fn note_error(&mut self, _: &[u8]) {}

    fn interrupt(&mut self) -> Interrupt {
        (self.may_go_on)()
    }
}

/// What a library may ask for while it is loaded.
pub struct Loading<'a> {
    pub log: &'a mut dyn FnMut(LogLevel, &[u8]),
    pub may_go_on: &'a mut dyn FnMut() -> Interrupt,
}

impl Libraries {
    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    /// Bytes of memory, but for the state of Lua.
    pub fn memory(&self) -> usize {
        let library = |(name, library): (&String, &Library)| {
            let functions = library.functions.iter().map(|function| {
                let description = function.description.as_ref().map_or(0, |text| text.len());
                size_of::<FunctionInfo>() + 2 * function.name.len() + description
            });
            size_of::<Library>() + name.len() + library.code.len() + functions.sum::<usize>()
        };
        self.by_name.iter().map(library).sum()
    }

    /// The function of that name, whatever the case of its letters.
    pub fn get(&self, name: &[u8]) -> Option<&FunctionInfo> {
        let mut lower: SmallVec<[u8; 64]> = name.into();
        lower.make_ascii_lowercase();
        let (library, place) = self.functions.get(&*lower)?;
        Some(&self.by_name[library].functions[*place])
    }

    /// The libraries, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = LibraryInfo<'_>> {
        self.by_name.iter().map(|(name, library)| LibraryInfo {
            name,
            code: &library.code,
            functions: &library.functions,
        })
    }

    /// Loads a library; its name.
    ///
    /// # Errors
    /// The error reply. Nothing has changed then.
    pub fn load(
        &mut self,
        state: &mut State,
        code: &[u8],
        replace: bool,
        loading: &mut Loading<'_>,
    ) -> Result<String, Vec<u8>> {
        let (name, program) = metadata(code)?;
        let name = &*name;
        let old = self.take(name);
        if old.is_some() && !replace {
            self.put(name, old);
            return Err(format!("ERR Library '{name}' already exists").into());
        }
        match self.load_new(state, code, program, loading) {
            Ok(library) => {
                self.put(name, Some(library));
                forget(state, old);
                Ok(name.to_owned())
            }
            Err(error) => {
                self.put(name, old);
                Err(error)
            }
        }
    }

    fn load_new(
        &self,
        state: &mut State,
        code: &[u8],
        program: &[u8],
        loading: &mut Loading<'_>,
    ) -> Result<Library, Vec<u8>> {
        let mut loader =
            Loader { functions: Vec::new(), log: loading.log, may_go_on: loading.may_go_on };
        let loaded = state.load(&mut loader, program);
        let library = Library { code: code.into(), functions: loader.functions };
        let error = match loaded {
            Ok(()) if library.functions.is_empty() => b"ERR No functions registered".to_vec(),
            Ok(()) => match library.functions.iter().find(|new| self.get(&new.name).is_some()) {
                Some(known) => [b"ERR Function ", &*known.name, b" already exists"].concat(),
                None => return Ok(library),
            },
            Err(LoadError::Syntax(text)) => [b"ERR Error compiling function: ", &*text].concat(),
            Err(LoadError::Run(text)) => [b"ERR Error registering functions: ", &*text].concat(),
            Err(LoadError::Refused(text)) => text,
        };
        forget(state, Some(library));
        Err(error)
    }

    /// Deletes a library. False if there is none of that name.
    pub fn delete(&mut self, state: &mut State, name: &[u8]) -> bool {
        let old = std::str::from_utf8(name).ok().and_then(|name| self.take(name));
        let existed = old.is_some();
        forget(state, old);
        existed
    }

    fn take(&mut self, name: &str) -> Option<Library> {
        let library = self.by_name.remove(name)?;
        for function in &library.functions {
            self.functions.remove(&*function.name.to_ascii_lowercase());
        }
        Some(library)
    }

    fn put(&mut self, name: &str, library: Option<Library>) {
        let Some(library) = library else { return };
        for (place, function) in library.functions.iter().enumerate() {
            let lower = function.name.to_ascii_lowercase().into();
            self.functions.insert(lower, (name.to_owned(), place));
        }
        self.by_name.insert(name.to_owned(), library);
    }

    /// A payload that [`restore`](Self::restore) takes. `compress` is the value of `rdbcompression`.
    pub fn dump(&self, compress: bool) -> Vec<u8> {
        let mut writer = Writer::new(compress);
        for library in self.by_name.values() {
            writer.byte(FUNCTION);
            writer.string(&library.code);
        }
        rdb::seal(writer.into_bytes())
    }

    /// Adds the libraries of a payload.
    ///
    /// # Errors
    /// The error reply. Nothing has changed then.
    pub fn restore(
        &mut self,
        state: &mut State,
        payload: &[u8],
        policy: RestorePolicy,
        loading: &mut Loading<'_>,
    ) -> Result<(), Vec<u8>> {
        let texts = texts(payload)?;
        let mut before = std::mem::take(self);
        if policy != RestorePolicy::Flush {
            std::mem::swap(self, &mut before);
        }
        // The names of those that were added, each with the library that had the name before.
        let mut added: Vec<(String, Option<Library>)> = Vec::new();
        let failure = texts
            .iter()
            .find_map(|code| self.restore_one(state, code, policy, loading, &mut added).err());
        let Some(failure) = failure else {
            let gone = added.into_iter().filter_map(|(_, old)| old);
            gone.chain(before.by_name.into_values()).for_each(|old| forget(state, Some(old)));
            return Ok(());
        };
        for (name, old) in added.into_iter().rev() {
            forget(state, self.take(&name));
            self.put(&name, old);
        }
        if policy == RestorePolicy::Flush {
            *self = before;
        }
        Err(failure)
    }

    fn restore_one(
        &mut self,
        state: &mut State,
        code: &[u8],
        policy: RestorePolicy,
        loading: &mut Loading<'_>,
        added: &mut Vec<(String, Option<Library>)>,
    ) -> Result<(), Vec<u8>> {
        let (name, program) = metadata(code)?;
        let name = &*name;
        if self.by_name.contains_key(name) && policy != RestorePolicy::Replace {
            return Err(format!("ERR Library {name} already exists").into());
        }
        let old = self.take(name);
        match self.load_new(state, code, program, loading) {
            Ok(library) => {
                self.put(name, Some(library));
                added.push((name.to_owned(), old));
                Ok(())
            }
            Err(error) => {
                self.put(name, old);
                Err(error)
            }
        }
    }
}

fn forget(state: &mut State, library: Option<Library>) {
    let functions = library.into_iter().flat_map(|library| library.functions);
    functions.for_each(|function| state.forget(function.function));
}

/// The texts of the libraries in a payload.
fn texts(payload: &[u8]) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    const BAD_SEAL: &[u8] = b"ERR DUMP payload version or checksum are wrong";
    const BAD_KIND: &[u8] = b"ERR given type is not a function";
    const BAD_TEXT: &[u8] = b"ERR Failed loading library data";
    let sealed = rdb::open(payload, true, true).ok_or(BAD_SEAL)?;
    let mut reader = Reader::new(sealed);
    let mut texts = Vec::new();
    while !reader.is_empty() {
        if reader.byte().map_err(|_| BAD_KIND)? != FUNCTION {
            return Err(BAD_KIND.to_vec());
        }
        texts.push(reader.string().map_err(|_| BAD_TEXT)?.into_owned());
    }
    Ok(texts)
}
