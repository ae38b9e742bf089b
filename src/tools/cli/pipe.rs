//! `--pipe`: the standard input goes to the server as it is, the replies are counted.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::input;
use super::options::Options;
use super::session::Session;
use crate::tools::client::{self, Reason, Value};

/// The most bytes that wait to be sent: beyond it no more input is read.
const WINDOW: usize = 1 << 20;

/// Sends the standard input, and waits for the reply to a last command of our own.
pub async fn run(options: &Options, session: &mut Session) -> ExitCode {
    let Some(client) = session.client().await else { return ExitCode::FAILURE };
    let magic = magic();
    let mut input = input::chunks();
    let mut sent_all = false;
    let (mut errors, mut replies) = (0u64, 0u64);
    let patience = Duration::from_secs(options.pipe_timeout);
    let mut last_activity = Instant::now();
    loop {
        let ready = client.connection().unsent() < WINDOW;
        let timeout = async {
            match options.pipe_timeout {
                0 => std::future::pending().await,
                _ => sleep_until(last_activity + patience).await,
            }
        };
        tokio::select! {
            chunk = input.recv(), if ready && !sent_all => match chunk {
                Some(Ok(chunk)) => client.send_encoded(chunk),
                Some(Err(error)) => {
                    eprintln!("Error reading from the standard input: {}", Reason(&error));
                    return ExitCode::FAILURE;
                }
                None => {
                    // The line break ends a last line of text that has none.
                    let mut last = b"\r\n".to_vec();
                    client::encode(&[&b"ECHO"[..], &magic], &mut last);
                    client.send_encoded(last.into());
                    sent_all = true;
                    last_activity = Instant::now();
                    say("All data transferred. Waiting for the last reply...");
                }
            },
            // Sends as well, as long as there is something to send.
            reply = client.receive() => match reply {
                Ok(Value::Bulk(text)) if sent_all && text == magic => {
                    say("Last reply received from server.");
                    break;
                }
                Ok(Value::Push(_)) => {}
                Ok(Value::Error(text)) => {
                    eprintln!("{}", String::from_utf8_lossy(&text));
                    errors += 1;
                    replies += 1;
                    last_activity = Instant::now();
                }
                Ok(_) => {
                    replies += 1;
                    last_activity = Instant::now();
                }
                Err(error) => {
                    eprintln!("Error: {}", Reason(&error));
                    say(&format!("errors: {}, replies: {replies}", errors + 1));
                    return ExitCode::FAILURE;
                }
            },
            () = timeout, if sent_all => {
                eprintln!("No replies for {} seconds: exiting.", options.pipe_timeout);
                errors += 1;
                break;
            }
        }
    }
    say(&format!("errors: {errors}, replies: {replies}"));
    if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes the progress. The replies are awaited even if it cannot be written.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// A text that no command of the user contains.
fn magic() -> Vec<u8> {
    use std::hash::{BuildHasher, RandomState};
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:04x}", random(), random() as u16).into_bytes()
}
