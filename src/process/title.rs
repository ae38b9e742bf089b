//! `set-proc-title`, `proc-title-template`: how `ps` shows the process.
//!
//! The kernel shows the memory that the arguments were in. It is written through `/proc/self/mem`, and so is
//! that of the environment behind it, once the environment lies elsewhere.
//!
//! `unsafe` is the move of the environment, while there is no other thread.

use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use crate::config::Settings;

/// The program's name, and the memory for the title.
struct Place {
    program: String,
    start: u64,
    len: usize,
}

static PLACE: OnceLock<Option<Place>> = OnceLock::new();

/// Makes room for titles. The process must have no other threads yet.
pub fn prepare() {
    let program = std::env::args_os().next().unwrap_or_default().to_string_lossy().into_owned();
    let Some((start, end)) = memory() else {
        PLACE.get_or_init(|| None);
        return;
    };
    for (name, value) in std::env::vars_os() {
        // SAFETY: no other thread exists that could read the environment. The C library copies what it is given.
        unsafe { std::env::set_var(name, value) };
    }
    let len = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
    PLACE.get_or_init(|| Some(Place { program, start, len }));
}

/// Where the arguments begin and the environment ends.
fn memory() -> Option<(u64, u64)> {
    /// Fields of `/proc/self/stat` behind the program's name, which are counted from the third on.
    const ARGUMENTS_START: usize = 48 - 3;
    const ENVIRONMENT_END: usize = 51 - 3;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse().ok();
    Some((field(ARGUMENTS_START)?, field(ENVIRONMENT_END)?))
}

/// Shows the title that the settings describe, as far as there is room. `file` is the configuration file.
pub fn set(settings: &Settings, file: Option<&str>) {
    if !settings.set_proc_title {
        return;
    }
    let Some(Some(place)) = PLACE.get() else { return };
    let title = text(settings, &place.program, file);
    let mut bytes = vec![0; place.len];
    // The last byte stays zero: the kernel takes what is behind it for more of the title otherwise.
    let shown = title.len().min(place.len.saturating_sub(1));
    bytes[..shown].copy_from_slice(&title.as_bytes()[..shown]);
    // Where the system does not let the process write there, the title stays.
    let _ = std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/mem")
        .and_then(|memory| memory.write_all_at(&bytes, place.start));
}

/// The template with its variables replaced.
fn text(settings: &Settings, program: &str, file: Option<&str>) -> String {
    let port = settings.port.to_string();
    let listening = match settings.bind.first() {
        Some(address) if settings.main_port() != 0 => format!("{address}:{}", settings.main_port()),
        _ => settings.unixsocket.clone(),
    };
    let tls_port = settings.tls_port.to_string();
    let mut title = String::new();
    for part in settings.proc_title_template.split('{') {
        let Some((name, rest)) = part.split_once('}') else {
            title.push_str(part);
            continue;
        };
        title.push_str(match name {
            "title" => program,
            "config-file" => file.unwrap_or("-"),
            "port" => &port,
            "tls-port" => &tls_port,
            "unixsocket" => &settings.unixsocket,
            "listen-addr" => &listening,
            // There is no mode with a name of its own.
            _ => "",
        });
        title.push_str(rest);
    }
    title.truncate(title.trim_end().len());
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_template_are_replaced() {
        let mut settings = Settings { port: 7000, ..Settings::default() };
        settings.bind = vec!["127.0.0.1".into()];
        assert_eq!(text(&settings, "v", None), "v 127.0.0.1:7000");
        settings.proc_title_template =
            "A {title} {config-file} {port} {tls-port} {unixsocket} {server-mode} {listen-addr} B"
                .into();
        assert_eq!(text(&settings, "v", None), "A v - 7000 0   127.0.0.1:7000 B");
        settings.port = 0;
        settings.unixsocket = "/s".into();
        assert_eq!(text(&settings, "v", Some("/c")), "A v /c 0 0 /s  /s B");
    }
}
