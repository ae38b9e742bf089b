//! The scripts that EVAL and SCRIPT LOAD have compiled, by the digest of their text.

use std::collections::{BTreeMap, HashMap};

use sha1::{Digest as _, Sha1};

use super::shebang::Shebang;
use crate::lua::{Function, ScriptFlags, State};

/// Scripts that nobody has loaded by SCRIPT LOAD, of which no more are kept: those that are used go on, as in Valkey.
const MOST_UNLOADED: usize = 500;

/// The SHA-1 of a script's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 20]);

impl Digest {
    pub fn of(text: &[u8]) -> Digest {
        Digest(Sha1::digest(text).into())
    }

    /// Reads 40 hexadecimal digits, whatever the case of the letters.
    pub fn parse(text: &[u8]) -> Option<Digest> {
        let text: &[u8; 40] = text.try_into().ok()?;
        let mut bytes = [0; 20];
        for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Some(Digest(bytes))
    }

    /// 40 hexadecimal digits.
    pub fn text(&self) -> String {
        use std::fmt::Write;
        self.0.iter().fold(String::with_capacity(40), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// A compiled script.
pub struct Script {
    pub function: Function,
    pub body: Box<[u8]>,
    /// `None`: its first line says nothing of it.
    pub flags: Option<ScriptFlags>,
    /// The time of its last use, in uses of all; `None` if it was loaded to stay.
    used: Option<u64>,
}

/// The compiled scripts.
#[derive(Default)]
pub struct ScriptCache {
    scripts: HashMap<Digest, Script>,
    /// Those that may go, by the time of their last use.
    unloaded: BTreeMap<u64, Digest>,
    uses: u64,
    /// Bytes of the texts.
    bytes: usize,
    evicted: u64,
}

impl ScriptCache {
    /// The number of scripts.
    pub fn count(&self) -> usize {
        self.scripts.len()
    }

    /// Scripts that had to make room for others.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Bytes of memory, but for the state of Lua.
    pub fn memory(&self) -> usize {
        let entry = size_of::<(Digest, Script)>() + size_of::<(u64, Digest)>();
        self.bytes + self.scripts.len() * entry
    }

    pub fn contains(&self, digest: &Digest) -> bool {
        self.scripts.contains_key(digest)
    }

    pub fn get(&self, digest: &Digest) -> Option<&Script> {
        self.scripts.get(digest)
    }

    /// The script of that digest, which is used now.
    pub fn used(&mut self, digest: &Digest) -> Option<&Script> {
        let script = self.scripts.get_mut(digest)?;
        if let Some(used) = &mut script.used {
            self.uses += 1;
            self.unloaded.remove(used);
            *used = self.uses;
            self.unloaded.insert(self.uses, *digest);
        }
        Some(script)
    }

    /// Compiles a script, unless it is there already. With `stays` it is kept until all are flushed, otherwise as
    /// long as it is among those that were used last.
    ///
    /// # Errors
    /// The error reply, if it is no script.
    pub fn add(&mut self, state: &mut State, text: &[u8], stays: bool) -> Result<Digest, Vec<u8>> {
        let digest = Digest::of(text);
        if let Some(script) = self.scripts.get_mut(&digest) {
            if stays && let Some(used) = script.used.take() {
                self.unloaded.remove(&used);
            }
            return Ok(digest);
        }
        let (shebang, program) = Shebang::read(text)?;
        let function = state.compile(program).map_err(|message| {
            [b"ERR Error compiling script (new function): ", &*message].concat()
        })?;
        let used = (!stays).then(|| {
            self.uses += 1;
            self.unloaded.insert(self.uses, digest);
            self.uses
        });
        self.bytes += text.len();
        self.scripts
            .insert(digest, Script { function, body: text.into(), flags: shebang.flags, used });
        if self.unloaded.len() > MOST_UNLOADED {
            self.evict(state);
        }
        Ok(digest)
    }

    /// Forgets the script that was used longest ago.
    fn evict(&mut self, state: &mut State) {
        let Some((_, digest)) = self.unloaded.pop_first() else { return };
        if let Some(script) = self.scripts.remove(&digest) {
            self.bytes -= script.body.len();
            self.evicted += 1;
            state.forget(script.function);
        }
    }

    /// Forgets all scripts; they are to be dropped where that may take its time.
    #[must_use]
    pub fn flush(&mut self) -> ScriptCache {
        let evicted = self.evicted;
        std::mem::replace(self, ScriptCache { evicted, ..ScriptCache::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lua::{Kind, Sequence};

    fn state() -> State {
        State::new(Kind::Scripts, 64 << 20, Arc::<Sequence>::default()).expect("memory")
    }

    #[test]
    fn a_digest_is_read_and_written() {
        let digest = Digest::of(b"return 1");
        let text = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
        assert_eq!(digest.text(), text);
        assert_eq!(Digest::parse(text.to_uppercase().as_bytes()), Some(digest));
        assert_eq!(Digest::parse(&text.as_bytes()[1..]), None);
        assert_eq!(Digest::parse(text.replace('e', "g").as_bytes()), None);
    }

    #[test]
    fn scripts_that_were_not_loaded_make_room_for_others_in_the_order_of_their_use() {
        let (mut state, mut cache) = (state(), ScriptCache::default());
        let text = |number: usize| format!("return {number}").into_bytes();
        let loaded = cache.add(&mut state, b"return 'loaded'", true).unwrap();
        let first = cache.add(&mut state, &text(0), false).unwrap();
        let second = cache.add(&mut state, &text(1), false).unwrap();
        (2..MOST_UNLOADED).for_each(|n| _ = cache.add(&mut state, &text(n), false).unwrap());
        assert_eq!((cache.count(), cache.evicted()), (MOST_UNLOADED + 1, 0));
        assert!(cache.used(&first).is_some());
        cache.add(&mut state, &text(MOST_UNLOADED), false).unwrap();
        assert_eq!((cache.count(), cache.evicted()), (MOST_UNLOADED + 1, 1));
        assert!(cache.contains(&first) && !cache.contains(&second) && cache.contains(&loaded));
        // One that is loaded later stays as well.
        assert_eq!(cache.add(&mut state, &text(0), true), Ok(first));
        (1000..1600).for_each(|n| _ = cache.add(&mut state, &text(n), false).unwrap());
        assert!(cache.contains(&first) && cache.contains(&loaded));
        assert_eq!(cache.count(), MOST_UNLOADED + 2);
        assert!(cache.add(&mut state, b"return (", false).is_err());
        assert_eq!(cache.count(), MOST_UNLOADED + 2);
    }
}
