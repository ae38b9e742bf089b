//! The first line of a script or a library: `#!lua name=value …`.

use crate::lua::ScriptFlags;
use crate::words;

/// The only engine there is.
pub const ENGINE: &str = "lua";

/// What a script says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shebang {
    /// `None` without a first line that says so: what older servers did is done then.
    pub flags: Option<ScriptFlags>,
}

/// The first line of a text that begins with `#!`, without that, and the rest with the end of the line.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = text.strip_prefix(b"#!")?;
    let end = memchr::memchr(b'\n', line)?;
    Some(line.split_at(end))
}

/// The engine that a line names right after the `#!`, perhaps with an empty name, and the words behind. `None` if a
/// quote is not closed.
fn words(line: &[u8]) -> Option<(Vec<u8>, impl Iterator<Item = Vec<u8>> + use<>)> {
    let has_engine = line.first().is_some_and(|byte| !byte.is_ascii_whitespace());
    let mut words = words::split(line)?.into_iter();
    let engine = if has_engine { words.next()? } else { Vec::new() };
    Some((engine, words))
}

impl Shebang {
    /// Reads the first line of a script; the rest of it, in which the other lines keep their numbers.
    ///
    /// # Errors
    /// The error reply, if the line says what is not known.
    pub fn read(script: &[u8]) -> Result<(Shebang, &[u8]), Vec<u8>> {
        if !script.starts_with(b"#!") {
            return Ok((Shebang::default(), script));
        }
        let Some((line, rest)) = split(script) else {
            return Err(b"ERR Invalid script shebang".to_vec());
        };
        let Some((engine, words)) = words(line) else {
            return Err(b"ERR Invalid script shebang".to_vec());
        };
        if !engine.eq_ignore_ascii_case(ENGINE.as_bytes()) {
            return Err([b"ERR Could not find scripting engine '", &*engine, b"'"].concat());
        }
        let mut flags = ScriptFlags::empty();
        for word in words {
            let Some(names) = word.strip_prefix(b"flags=") else {
                return Err([b"ERR Unknown lua shebang option: ", &*word].concat());
            };
            for name in names.split(|byte| *byte == b',').filter(|name| !name.is_empty()) {
                flags |= ScriptFlags::named(name)
                    .ok_or_else(|| [b"ERR Unexpected flag in script shebang: ", name].concat())?;
            }
        }
        Ok((Shebang { flags: Some(flags) }, rest))
    }
}

/// The name that a library's first line gives it, and the library's program, in which the lines keep their numbers.
///
/// # Errors
/// The error reply, if there is no such line.
pub fn metadata(code: &[u8]) -> Result<(String, &[u8]), Vec<u8>> {
    if !code.starts_with(b"#!") {
        return Err(b"ERR Missing library metadata".to_vec());
    }
    let Some((line, program)) = split(code) else {
        return Err(b"ERR Invalid library metadata".to_vec());
    };
    let Some((engine, words)) = words(line) else {
        return Err(b"ERR Invalid library metadata".to_vec());
    };
    if !engine.eq_ignore_ascii_case(ENGINE.as_bytes()) {
        return Err([b"ERR Engine '", &*engine, b"' not found"].concat());
    }
    let mut name = None;
    for word in words {
        match word.strip_prefix(b"name=") {
            Some(_) if name.is_some() => {
                return Err(
                    b"ERR Invalid metadata value, name argument was given multiple times".to_vec()
                );
            }
            Some(value) => name = Some(value.to_vec()),
            None => return Err([b"ERR Invalid metadata value given: ", &*word].concat()),
        }
    }
    let Some(name) = name else { return Err(b"ERR Library name was not given".to_vec()) };
    if !super::is_name(&name) {
        return Err(
            b"ERR Library names can only contain letters, numbers, or underscores(_) and must be \
                     at least one character long"
                .to_vec(),
        );
    }
    Ok((String::from_utf8(name).expect("a name is of ASCII letters"), program))
}
