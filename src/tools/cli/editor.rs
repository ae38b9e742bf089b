//! The line editor of an interactive session: history, completion, hints.
//!
//! It has a thread of its own, so that the connection lives on while the user thinks: a transport
//! may have to answer its peer, and pushes arrive. (They are shown with the next reply. The editor
//! could print them at once, but with that on, rustyline 17 stalls in the middle of a pasted line.)

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};
use tokio::sync::mpsc as async_mpsc;

use super::catalog::Catalog;

/// Lines that the history keeps.
const HISTORY_LEN: usize = 1000;

/// The editor's data about the commands. It is filled when the server has replied.
#[derive(Clone, Default)]
pub struct Knowledge {
    pub catalog: Arc<OnceLock<Catalog>>,
    pub hints: Arc<AtomicBool>,
}

/// The input of the user.
pub enum Input {
    Line(String),
    /// The end of the input, or Ctrl-C.
    End,
}

/// The thread with the editor.
pub struct Terminal {
    prompts: mpsc::Sender<String>,
    inputs: async_mpsc::UnboundedReceiver<Input>,
}

impl Terminal {
    /// Starts the thread.
    pub fn new(knowledge: Knowledge) -> rustyline::Result<Terminal> {
        let config =
            Config::builder().max_history_size(HISTORY_LEN)?.auto_add_history(false).build();
        let mut editor: Editor<Words, FileHistory> = Editor::with_config(config)?;
        editor.set_helper(Some(Words { knowledge }));
        let history = history_file();
        if let Some(path) = &history {
            // The file does not exist at the first start, and one that cannot be read is no reason to
            // stop.
            let _ = editor.load_history(path);
        }
        let (prompts, prompt_receiver) = mpsc::channel::<String>();
        let (sender, inputs) = async_mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for prompt in prompt_receiver {
                let input = read(&mut editor, &prompt, history.as_deref());
                if sender.send(input).is_err() {
                    return;
                }
            }
        });
        Ok(Terminal { prompts, inputs })
    }

    /// Shows a prompt. The line comes with [`input`](Self::input).
    pub fn prompt(&mut self, prompt: String) {
        // If the thread has ended, the input says so.
        let _ = self.prompts.send(prompt);
    }

    /// Waits for the line. Can be cancelled and called again.
    pub async fn input(&mut self) -> Input {
        self.inputs.recv().await.unwrap_or(Input::End)
    }
}

fn read(editor: &mut Editor<Words, FileHistory>, prompt: &str, history: Option<&Path>) -> Input {
    match editor.readline(prompt) {
        Ok(line) => {
            if !line.trim().is_empty() && !is_secret(&line) {
                // A history that cannot be written is lost, and nothing else.
                let _ = editor.add_history_entry(&line);
                let _ = history.map(|path| editor.append_history(path));
            }
            Input::Line(line)
        }
        Err(_) => Input::End,
    }
}

/// Asks for a password, which is not shown.
pub fn ask_password() -> Result<String, String> {
    let mut editor: Editor<Mask, FileHistory> = Editor::new().map_err(|error| error.to_string())?;
    editor.set_helper(Some(Mask));
    match editor.readline("Please input password: ") {
        Ok(password) => Ok(password),
        Err(ReadlineError::Interrupted) => Err("interrupted".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn home(name: &str) -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(name))
}

fn history_file() -> Option<PathBuf> {
    match std::env::var_os("VERBENACLI_HISTFILE") {
        Some(path) if path == "/dev/null" || path.is_empty() => None,
        Some(path) => Some(path.into()),
        None => home(".verbenacli_history"),
    }
}

/// The file with the user's preferences.
pub fn preferences_file() -> Option<PathBuf> {
    std::env::var_os("VERBENACLI_RCFILE").map(PathBuf::from).or_else(|| home(".verbenaclirc"))
}

/// Whether a line has a password in it, and so must not be written to a file.
fn is_secret(line: &str) -> bool {
    let words: Vec<String> = line.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
    let word = |index: usize| words.get(index).map_or("", |word| &**word);
    match word(0) {
        "auth" => true,
        "acl" => word(1) == "setuser",
        "hello" | "migrate" => words.iter().any(|word| word.starts_with("auth")),
        "config" => {
            word(1) == "set"
                && words.iter().any(|word| word.ends_with("auth") || word.ends_with("pass"))
        }
        _ => false,
    }
}

/// Completion and hints.
struct Words {
    knowledge: Knowledge,
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let names = match self.knowledge.catalog.get() {
            Some(catalog) if pos == line.len() => catalog.complete(line),
            _ => Vec::new(),
        };
        let pairs = names.into_iter().map(|name| Pair { display: name.clone(), replacement: name });
        Ok((0, pairs.collect()))
    }
}

impl Hinter for Words {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        if pos < line.len() || !self.knowledge.hints.load(Ordering::Relaxed) {
            return None;
        }
        self.knowledge.catalog.get()?.hint(line)
    }
}

impl Highlighter for Words {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        format!("\x1b[90m{hint}\x1b[0m").into()
    }
}

impl Validator for Words {}
impl Helper for Words {}

/// Shows stars for letters.
struct Mask;

impl Highlighter for Mask {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        "*".repeat(line.chars().count()).into()
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        true
    }
}

impl Completer for Mask {
    type Candidate = Pair;
}

impl Hinter for Mask {
    type Hint = String;
}

impl Validator for Mask {}
impl Helper for Mask {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_written_to_the_history() {
        for line in [
            "AUTH x",
            " auth u p",
            "hello 3 AUTH u p",
            "config set requirepass x",
            "ACL SETUSER a >x",
        ] {
            assert!(is_secret(line), "{line}");
        }
        for line in ["get auth", "config get requirepass", "hello 3", "acl list"] {
            assert!(!is_secret(line), "{line}");
        }
    }
}
