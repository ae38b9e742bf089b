//! The command line: `verbena-server [/path/to.conf] [--option value ...] [-]`.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::file::{self, LoadError, Loader};
use super::settings::Settings;
use crate::acl::Declaration;
use crate::words::quoted;

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    Serve(Box<Startup>),
    Version,
    Help,
    TestMemory,
}

/// What a server starts with.
#[derive(Clone, Debug, Default)]
pub struct Startup {
    pub settings: Settings,
    /// The users that are declared.
    pub users: Vec<Declaration>,
    /// The configuration file, absolute.
    pub file: Option<PathBuf>,
    /// What the standard input said, if it was asked for.
    pub input: Vec<u8>,
    /// The working directory of whoever started it: what relative paths of the command line mean.
    pub started_in: PathBuf,
    /// True if anything but the defaults decided.
    pub configured: bool,
}

/// Reads the arguments (without the program's name) and the files that they name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, LoadError> {
    let mut args: Vec<Vec<u8>> = args.into_iter().map(OsString::into_vec).collect();
    match args.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
        [b"-v" | b"--version"] => return Ok(Request::Version),
        [b"-h" | b"--help"] => return Ok(Request::Help),
        [b"--test-memory", ..] => return Ok(Request::TestMemory),
        _ => {}
    }
    let mut startup = Startup {
        configured: !args.is_empty(),
        started_in: std::env::current_dir().unwrap_or_default(),
        ..Startup::default()
    };
    let mut text = Vec::new();
    let mut reads_input = false;
    if args.first().is_some_and(|arg| arg == b"-") {
        reads_input = true;
        args.remove(0);
    } else if args.first().is_some_and(|arg| !arg.starts_with(b"-")) {
        let path = PathBuf::from(OsString::from_vec(args.remove(0)));
        // The server may change its working directory before it needs the file again.
        let path = std::path::absolute(&path).unwrap_or(path);
        text = file::read(&path)?;
        startup.file = Some(path);
    }
    if args.last().is_some_and(|arg| arg == b"-") {
        reads_input = true;
        args.pop();
    }
    if reads_input {
        io::stdin()
            .read_to_end(&mut startup.input)
            .map_err(|error| LoadError::Open { path: PathBuf::from("-"), error })?;
        text.push(b'\n');
        text.extend(&startup.input);
    }
    text.extend(directives(&args));
    Loader::new(&mut startup.settings, &mut startup.users).load(&text)?;
    Ok(Request::Serve(Box::new(startup)))
}

/// The options as lines of a configuration file.
fn directives(args: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    // The option that has no value yet.
    let mut bare: Option<&[u8]> = None;
    for arg in args {
        let takes_anything = bare.is_some_and(|name| !name.eq_ignore_ascii_case(b"save"));
        match arg.strip_prefix(b"--") {
            // A value may look like an option, such as a password; `save` alone may have none.
            Some(name) if !takes_anything => {
                if bare.is_some() {
                    text.extend(b" \"\"");
                }
                text.push(b'\n');
                text.extend(name);
                // `--port 7000` may be one argument.
                let has_value = name.trim_ascii().iter().any(u8::is_ascii_whitespace);
                bare = (!has_value).then_some(name);
            }
            _ => {
                if text.is_empty() {
                    text.push(b'\n');
                }
                if text.last() != Some(&b'\n') {
                    text.push(b' ');
                }
                text.extend(quoted(arg));
                bare = None;
            }
        }
    }
    if bare.is_some_and(|name| name.eq_ignore_ascii_case(b"save")) {
        text.extend(b" \"\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str]) -> Result<Settings, String> {
        match parse(args.iter().map(OsString::from)) {
            Ok(Request::Serve(startup)) => Ok(startup.settings),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn options_take_one_or_more_values() {
        let found =
            settings(&["--port", "7000", "--save", "", "--bind", "127.0.0.1", "::1"]).unwrap();
        assert_eq!((found.port, found.save.0.len(), found.bind.len()), (7000, 0, 2));
        let found = settings(&["--save", "1 2 3 4", "--save", "5", "6", "--HZ", "5"]).unwrap();
        assert_eq!((found.save.0.len(), found.hz), (3, 5));
        assert_eq!(settings(&["--save", "--hz", "5"]).unwrap().save.0, []);
        assert_eq!(settings(&["--save"]).unwrap().save.0, []);
        assert_eq!(
            settings(&["--masterauth", "--foo", "--hz", "5"]).unwrap().primaryauth,
            b"--foo"
        );
        assert_eq!(settings(&["--requirepass", "a b\"'"]).unwrap().requirepass, b"a b\"'");
        let found =
            settings(&["--masterauth --foo", "--hz\t5", "--save '1 2'", "--port", "7000"]).unwrap();
        assert_eq!((found.primaryauth, found.hz, found.port), (b"--foo".to_vec(), 5, 7000));
    }

    #[test]
    fn mistakes_are_shown_as_lines_of_a_file() {
        for (args, expected) in [
            (
                &["--foo", "bar"][..],
                "at line 2\n>>> 'foo \"bar\"'\nBad directive or wrong number of arguments",
            ),
            (&["--port"], ">>> 'port'\nwrong number of arguments"),
            (
                &["--port", "7000", "x.conf"],
                ">>> 'port \"7000\" \"x.conf\"'\nwrong number of arguments",
            ),
            (
                &["--bind", "a", "--port", "99999"],
                "at line 3\n>>> 'port \"99999\"'\nargument must be between 0 and 65535 inclusive",
            ),
            (&["--port 7000", "--hz 5 6"], ">>> 'hz 5 6'\nwrong number of arguments"),
            (
                &["--shutdown-on-sigint"],
                "argument(s) must be one of the following: default, save, nosave, now, force, safe, failover",
            ),
            (&["-x"], ">>> '\"-x\"'\nBad directive or wrong number of arguments"),
        ] {
            let error = settings(args).unwrap_err();
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
