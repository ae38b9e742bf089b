//! The server as a process of its system: limits, the terminal, the supervisor, the pid file, and
//! how it introduces itself.

pub mod affinity;
pub mod oom;
pub mod supervisor;
pub mod title;

use std::ffi::OsString;
use std::hash::BuildHasher;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::setsid;

use crate::config::{Settings, Startup, Supervised, system_text};
use crate::log;

/// Set in the environment of the process that a daemon becomes.
const DAEMON: &str = "VERBENA_DAEMON";

/// The pid file of a daemon that names none.
const DAEMON_PIDFILE: &str = "/var/run/verbena.pid";

/// The version of Valkey that this server is compatible with.
pub const VALKEY_VERSION: &str = "9.1.2";

/// The version of Redis whose clients this server can be used by.
pub const REDIS_VERSION: &str = "7.2.4";

/// The server that this one takes the place of, and its version, for clients that decide by them what they ask
/// for.
pub fn compatible_with(settings: &Settings) -> (&'static str, &'static str) {
    if settings.extended_redis_compatibility {
        ("redis", REDIS_VERSION)
    } else {
        ("valkey", VALKEY_VERSION)
    }
}

/// The answer to `--version`. Harnesses read ` v=` as Valkey's version; Verbena's own is the last word.
pub fn version_line() -> String {
    format!(
        "Valkey server v={VALKEY_VERSION} sha=00000000:0 malloc=jemalloc bits={} \
         build=0000000000000000 verbena={}",
        usize::BITS,
        env!("CARGO_PKG_VERSION"),
    )
}

/// Logs what runs and where: as a banner if `always-show-logo` or a terminal asks for one. Harnesses
/// look for its ` PID: `.
pub fn announce(settings: &Settings) {
    let interactive = settings.logfile.is_empty() && io::stdout().is_terminal();
    if settings.always_show_logo || interactive {
        log::raw(&banner(settings.main_port(), std::process::id()));
    } else {
        log::notice(format_args!("Running mode=standalone, port={}.", settings.main_port()));
    }
}

fn banner(port: u16, pid: u32) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r"
      \   /      Verbena {version}, compatible with Valkey {VALKEY_VERSION}
    .--\ /--.
     \--o--/     Running in standalone mode
    .--/ \--.    Port: {port}
      / | \      PID: {pid}
        |

"
    )
}

/// File descriptors that are not clients'.
fn reserved_descriptors(settings: &Settings) -> u64 {
    // Each worker has an event loop; Valkey's 32 are enough for a few.
    (16 + 4 * settings.io_threads as u64).max(32)
}

/// Makes `dir` the working directory and opens the log. The error is for the user.
pub fn prepare(settings: &mut Settings) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| {
        let reason = system_text(&error);
        format!(
            "\n*** FATAL CONFIG FILE ERROR (Version {}) ***\n{what}: {reason}",
            env!("CARGO_PKG_VERSION")
        )
    };
    if !settings.dir.is_empty() {
        std::env::set_current_dir(&settings.dir).map_err(|error| failed("Can't chdir", error))?;
    }
    let dir = std::env::current_dir().map_err(|error| failed("Can't find the directory", error))?;
    settings.dir = dir.display().to_string();
    log::configure(settings).map_err(|error| failed("Can't open the log file", error))
}

/// If the settings ask for it, starts the server again apart from the terminal and returns true: this
/// process is then done.
///
/// A process with threads can't be forked safely, and this needs no fork: the new one reads the same
/// arguments.
pub fn daemonize(startup: &Startup) -> io::Result<bool> {
    START.get_or_init(|| Start {
        started_in: startup.started_in.clone(),
        arguments: std::env::args_os().skip(1).collect(),
    });
    if !startup.settings.daemonize || startup.settings.supervised != Supervised::No {
        return Ok(false);
    }
    if std::env::var_os(DAEMON).is_some() {
        // Fails only for the leader of a group, which has no terminal to leave.
        let _ = setsid();
        return Ok(false);
    }
    let mut daemon = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(DAEMON, "1")
        .current_dir(&startup.started_in)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut input) = daemon.stdin.take() {
        input.write_all(&startup.input)?;
    }
    Ok(true)
}

/// Executes the program again, in this process: with the same arguments, in the working directory that it was
/// started in. Returns only if that fails.
pub fn execute_again() -> io::Error {
    let Some(Start { started_in, arguments }) = START.get() else {
        return io::ErrorKind::NotFound.into();
    };
    match std::env::current_exe() {
        Ok(program) => Command::new(program).args(arguments).current_dir(started_in).exec(),
        Err(error) => error,
    }
}

/// How the process was started: a title takes the place of the arguments.
struct Start {
    /// The working directory before the settings named another one.
    started_in: PathBuf,
    /// Without the program's name.
    arguments: Vec<OsString>,
}

static START: OnceLock<Start> = OnceLock::new();

/// Forty random hexadecimal digits.
pub fn random_id() -> String {
    let mut bytes = [0; 20];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        // Then it is as random as what the maps of the standard library are seeded with.
        for chunk in bytes.chunks_mut(8) {
            let hash = std::hash::RandomState::new().hash_one(std::process::id()).to_ne_bytes();
            chunk.copy_from_slice(&hash[..chunk.len()]);
        }
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The pid file, removed when the server ends.
pub struct PidFile(String);

impl PidFile {
    /// Writes it, if there is to be one. A failure is logged and nothing worse.
    pub fn write(settings: &Settings) -> Option<PidFile> {
        let path = match settings.pidfile.as_str() {
            "" if settings.daemonize => DAEMON_PIDFILE,
            "" => return None,
            path => path,
        };
        match std::fs::write(path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(PidFile(path.to_owned())),
            Err(error) => {
                let reason = system_text(&error);
                log::warning(format_args!("Failed to write PID file {path}: {reason}"));
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        log::notice("Removing the pid file.");
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Raises the limit of open files to what `maxclients` needs, or lowers `maxclients` to what the
/// limit allows.
pub fn reserve_descriptors(settings: &mut Settings) -> Result<(), String> {
    let reserved = reserved_descriptors(settings);
    let needed = settings.maxclients as u64 + reserved;
    let Err((limit, error)) = raise_limit(needed) else { return Ok(()) };
    if limit <= reserved {
        return Err(format!(
            "Your current 'ulimit -n' of {limit} is not enough for the server to start. Please \
             increase your open file limit to at least {needed}. Exiting."
        ));
    }
    let asked = settings.maxclients;
    settings.maxclients = (limit - reserved) as usize;
    log::warning(format_args!(
        "You requested maxclients of {asked} requiring at least {needed} max file descriptors."
    ));
    log::warning(format_args!(
        "Server can't set maximum open files to {needed} because of OS error: {error}."
    ));
    log::warning(format_args!(
        "Current maximum open files is {limit}. maxclients has been reduced to {} to compensate \
         for low ulimit. If you need higher maxclients increase 'ulimit -n'.",
        settings.maxclients
    ));
    Ok(())
}

/// As [`reserve_descriptors`], while the server runs: says what is possible instead.
pub fn reserve_more_descriptors(settings: &Settings) -> Result<(), String> {
    let reserved = reserved_descriptors(settings);
    raise_limit(settings.maxclients as u64 + reserved).map_err(|(limit, _)| {
        format!(
            "The operating system is not able to handle the specified number of clients, try with \
             {}",
            limit.saturating_sub(reserved)
        )
    })
}

/// Raises the limit of open files to at least `needed`; fails with the limit that there is and why.
fn raise_limit(needed: u64) -> Result<(), (u64, String)> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| (0, error.desc().to_owned()))?;
    if soft >= needed {
        return Ok(());
    }
    let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)) else {
        return Ok(());
    };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Err((hard, error.desc().to_owned())),
        Err(_) => Err((soft, error.desc().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_names_port_and_pid() {
        let banner = banner(6379, 42);
        assert!(banner.contains(" Port: 6379\n") && banner.contains(" PID: 42\n"), "{banner}");
        let version = format!("Verbena {}, compatible with", env!("CARGO_PKG_VERSION"));
        assert!(banner.contains(&version), "{banner}");
    }
}
