//! The subscribed mode of an interactive session: messages are shown as they come, until a key is pressed.

use std::io::{self, IsTerminal, PipeWriter, Write};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use super::session::Session;

/// Grey, and at the end of the line the cursor goes back to its beginning.
const READING: &str =
    "\x1b[1;90mReading messages... (press Ctrl-C to quit or any key to type command)\r\x1b[0m";

const ERASE_LINE: &str = "\x1b[K";

/// The reason why no messages are shown any more.
#[derive(Debug, PartialEq)]
pub enum End {
    /// The user begins to type. The key has not been read.
    Key,
    /// Ctrl-C.
    Interrupted,
    /// The connection has ended. The reason has been shown.
    Disconnected,
}

/// The terminal without an echo and line by line editing, until it is dropped.
struct KeyByKey {
    before: Termios,
}

impl KeyByKey {
    fn new() -> io::Result<KeyByKey> {
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        Ok(KeyByKey { before })
    }
}

impl Drop for KeyByKey {
    fn drop(&mut self) {
        // A terminal that has been closed needs no restoration.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Waits on a thread for a key, which is not read; stops when it is dropped.
struct Key {
    pressed: oneshot::Receiver<io::Result<()>>,
    _stop: PipeWriter,
}

impl Key {
    fn new() -> io::Result<Key> {
        let (stopped, stop) = io::pipe()?;
        let (sender, pressed) = oneshot::channel();
        std::thread::spawn(move || {
            let stdin = io::stdin();
            let mut fds =
                [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&stopped, PollFlags::IN)];
            let result = loop {
                match poll(&mut fds, None) {
                    Err(Errno::INTR) => {}
                    Err(error) => break Err(error.into()),
                    Ok(_) => break Ok(()),
                }
            };
            // If nobody waits any more, nobody needs the result.
            let _ = sender.send(result);
        });
        Ok(Key { pressed, _stop: stop })
    }
}

/// Writes messages until there is something else to do.
pub async fn show(session: &mut Session) -> io::Result<End> {
    let mut out = io::stdout();
    let notice = out.is_terminal();
    let say = |text: &str| -> io::Result<()> {
        if notice {
            let mut out = io::stdout();
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    };
    let _key_by_key = KeyByKey::new()?;
    let mut key = Key::new()?;
    session.write_collected(&mut out)?;
    loop {
        say(READING)?;
        let received = tokio::select! {
            received = session.receive() => received,
            pressed = &mut key.pressed => {
                pressed.map_err(io::Error::other)??;
                say(ERASE_LINE)?;
                return Ok(End::Key);
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                say(ERASE_LINE)?;
                return Ok(End::Interrupted);
            }
        };
        say(ERASE_LINE)?;
        match received {
            Ok(value) => session.write_unasked(&value, &mut out)?,
            Err(error) => {
                session.broken(&error);
                return Ok(End::Disconnected);
            }
        }
        session.write_collected(&mut out)?;
    }
}
