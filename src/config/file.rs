//! The configuration file's format: one directive a line, words in quotes where needed.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use ::glob::{MatchOptions, glob_with};

use super::parameter::Source;
use super::settings::{Settings, find};
use crate::acl::Declaration;
use crate::words::split;

/// Directives that once had a meaning and are accepted without one.
const OBSOLETE: [&str; 7] = [
    "dynamic-hz",
    "events-per-io-thread",
    "io-threads-do-reads",
    "list-max-ziplist-entries",
    "list-max-ziplist-value",
    "lua-replicate-commands",
    "sanitize-dump-payload",
];

/// Files that include each other deeper than this are a circle.
const MAX_DEPTH: usize = 16;

/// Why a configuration can't be used.
#[derive(Debug)]
pub enum LoadError {
    Directive { line: usize, text: String, reason: String },
    Open { path: PathBuf, error: std::io::Error },
}

/// The text for the user, as Valkey words it.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Directive { line, text, reason } => write!(
                f,
                "\n*** FATAL CONFIG FILE ERROR (Version {}) ***\n\
                 Reading the configuration file, at line {line}\n>>> '{text}'\n{reason}",
                env!("CARGO_PKG_VERSION")
            ),
            LoadError::Open { path, error } => {
                let reason = super::system_text(error);
                write!(f, "Fatal error, can't open config file '{}': {reason}", path.display())
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads directives into settings.
pub(super) struct Loader<'a> {
    settings: &'a mut Settings,
    users: &'a mut Vec<Declaration>,
    /// Parameters that had a directive.
    seen: HashSet<&'static str>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(settings: &'a mut Settings, users: &'a mut Vec<Declaration>) -> Self {
        Loader { settings, users, seen: HashSet::new() }
    }

    /// Reads all directives of `text`.
    pub(super) fn load(&mut self, text: &[u8]) -> Result<(), LoadError> {
        self.load_at(text, 0)
    }

    fn load_at(&mut self, text: &[u8], depth: usize) -> Result<(), LoadError> {
        for (index, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let refuse = |reason: String| LoadError::Directive {
                line: index + 1,
                text: String::from_utf8_lossy(line).into_owned(),
                reason,
            };
            let words = split(line)
                .ok_or_else(|| refuse("Unbalanced quotes in configuration line".into()))?;
            let Some((name, words)) = words.split_first() else { continue };
            if name.eq_ignore_ascii_case(b"include") && words.len() == 1 {
                if depth == MAX_DEPTH {
                    return Err(refuse("files include each other without end".into()));
                }
                self.include(&words[0], depth + 1)?;
                continue;
            }
            self.directive(name, words).map_err(refuse)?;
        }
        Ok(())
    }

    fn directive(&mut self, name: &[u8], words: &[Vec<u8>]) -> Result<(), String> {
        if let Some(parameter) = find(name) {
            let first = self.seen.insert(&parameter.name);
            return parameter
                .set(self.settings, words, Source::Directive { first })
                .map_err(|refusal| refusal.into_owned());
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if name == "user"
            && let Some((user, rules)) = words.split_first()
        {
            return self.user(user, rules);
        }
        if words.len() == 1 && OBSOLETE.contains(&name.as_str()) {
            return Ok(());
        }
        Err(match name.as_str() {
            "rename-command" | "loadmodule" if !words.is_empty() => {
                format!("the '{name}' directive is not supported by this version")
            }
            "sentinel" => "sentinel directive while not in sentinel mode".into(),
            _ => "Bad directive or wrong number of arguments".into(),
        })
    }

    fn user(&mut self, name: &[u8], rules: &[Vec<u8>]) -> Result<(), String> {
        let declaration = Declaration { name: name.to_vec(), rules: rules.to_vec() };
        let checked = if self.users.iter().any(|user| user.name == name) {
            Err("Duplicate user found. A user can only be defined once in config files".into())
        } else {
            declaration.check()
        };
        self.users.push(declaration);
        checked.map_err(|why| {
            format!("Error in user declaration '{}': {why}", String::from_utf8_lossy(name))
        })
    }

    fn include(&mut self, pattern: &[u8], depth: usize) -> Result<(), LoadError> {
        let pattern = PathBuf::from(String::from_utf8_lossy(pattern).into_owned());
        for path in expand(&pattern) {
            let text = read(&path)?;
            self.load_at(&text, depth)?;
        }
        Ok(())
    }
}

/// The contents of a configuration file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|error| LoadError::Open { path: path.to_owned(), error })
}

/// The files that a pattern names, in the order of their names; a path without wildcards is itself,
/// whether it exists or not.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let text = pattern.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return vec![pattern.to_owned()];
    }
    // As in a shell, a wildcard finds no hidden files and stays within a directory.
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    match glob_with(&text, options) {
        // Directories that cannot be read have no files for us.
        Ok(paths) => paths.filter_map(Result::ok).collect(),
        Err(_) => vec![pattern.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings, String> {
        let mut settings = Settings::default();
        match Loader::new(&mut settings, &mut Vec::new()).load(text.as_bytes()) {
            Ok(()) => Ok(settings),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn comments_and_empty_lines_say_nothing() {
        let settings = load("  # c\n\n \t hz 11\r\n HZ 12 \nsave 1 2\nsave 3 4").unwrap();
        assert_eq!(settings.hz, 12);
        assert_eq!(settings.save.0, [(1, 2), (3, 4)]);
    }

    #[test]
    fn an_error_names_its_line() {
        let error = load("hz 5\nfoo bar\n").unwrap_err();
        assert!(error.contains("*** FATAL CONFIG FILE ERROR (Version"), "{error}");
        let expected = "Reading the configuration file, at line 2\n>>> 'foo bar'\n\
                        Bad directive or wrong number of arguments";
        assert!(error.ends_with(expected), "{error}");
        for (line, reason) in [
            ("hz 10 # comment", "wrong number of arguments"),
            ("hz x", "argument couldn't be parsed into an integer"),
            ("port 99999", "argument must be between 0 and 65535 inclusive"),
            ("maxmemory 1q", "argument must be a memory value"),
            ("requirepass \"a", "Unbalanced quotes in configuration line"),
            ("include", "Bad directive or wrong number of arguments"),
            ("replicaof a x", "Invalid primary port"),
            (
                "user a on\nuser a",
                "Error in user declaration 'a': Duplicate user found. A user can only be defined once in config files",
            ),
            ("user a nope", "Error in user declaration 'a': Syntax error"),
            ("user a (+get", "Error in user declaration 'a': Wrong format"),
            ("user", "Bad directive or wrong number of arguments"),
        ] {
            assert!(load(line).unwrap_err().ends_with(reason), "{line}");
        }
    }

    #[test]
    fn files_include_others_by_pattern() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        write("b1.conf", "hz 20\nport 1");
        write("b2.conf", "hz 30");
        write("c.txt", "hz 40");
        write(".b3.conf", "hz 50");
        std::fs::create_dir(directory.path().join("d")).unwrap();
        write("d/b4.conf", "hz 60");
        let base = directory.path().display();
        let settings = load(&format!("include {base}/b*.conf\ninclude {base}/none*\n")).unwrap();
        assert_eq!((settings.hz, settings.port), (30, 1));
        assert_eq!(load(&format!("include {base}/*.conf")).unwrap().hz, 30);
        assert_eq!(load(&format!("include {base}/[a-d]/b?.conf")).unwrap().hz, 60);
        let error = load(&format!("include {base}/none")).unwrap_err();
        assert_eq!(
            error,
            format!("Fatal error, can't open config file '{base}/none': No such file or directory")
        );
        let circle = write("circle", &format!("include {base}/circle"));
        assert!(load(&format!("include {circle}")).unwrap_err().ends_with("without end"));
    }
}
