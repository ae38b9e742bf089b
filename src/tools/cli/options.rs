//! The command line of `verbena-cli`.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};

use super::format::{Format, Style};
use crate::tools::server_options::ServerOptions;
use crate::tools::usage::Usage;

const STYLES: [&str; 5] = ["raw", "no_raw", "csv", "json", "quoted_json"];

/// Sends commands to a Verbena, Valkey or Redis server.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "verbena-cli",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = "verbena-cli [OPTIONS] [COMMAND ARGS...]",
    after_help = "\
Without a command, verbena-cli is interactive; `help` there tells about the commands.
The password can also be in the environment, as VERBENACLI_AUTH or REDISCLI_AUTH.

Examples:
  verbena-cli set key value
  verbena-cli --rdma -h 10.0.0.1 get key
  verbena-cli -x set key < file
  verbena-cli -r 100 -i 1 info clients
  verbena-cli --scan --pattern 'user:*'
  verbena-cli --pipe < commands.txt"
)]
pub struct Options {
    #[command(flatten)]
    pub server: ServerOptions,

    /// Ask for the password
    #[arg(long)]
    pub askpass: bool,

    /// Do not warn about a password on the command line
    #[arg(long)]
    pub no_auth_warning: bool,

    /// Database number
    #[arg(short = 'n', value_name = "DB", default_value_t = 0)]
    pub db: u32,

    /// Seconds to wait for a connection; 0 for as long as the system does
    #[arg(short = 't', value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,

    /// Follow the redirections of a cluster's nodes (MOVED and ASK)
    #[arg(short = 'c')]
    pub cluster: bool,

    /// Speak RESP2
    #[arg(short = '2', overrides_with = "resp3")]
    pub resp2: bool,

    /// Speak RESP3
    #[arg(short = '3', overrides_with = "resp2")]
    pub resp3: bool,

    /// Send the command so many times; -1 for ever
    #[arg(short = 'r', value_name = "TIMES", default_value_t = 1, allow_negative_numbers = true)]
    pub repeat: i64,

    /// Seconds to wait between two sendings, two lines of --stat, two calls of --scan
    #[arg(short = 'i', value_name = "SECONDS", value_parser = seconds)]
    pub interval: Option<Duration>,

    /// Read the last argument from the standard input
    #[arg(short = 'x')]
    pub stdin: bool,

    /// Read from the standard input the arguments that are TAG
    #[arg(short = 'X', value_name = "TAG")]
    pub stdin_tag: Option<OsString>,

    /// Text between the elements of a raw reply
    #[arg(short = 'd', value_name = "DELIMITER", default_value = "\n", hide_default_value = true)]
    pub element_delimiter: String,

    /// Text after a raw reply
    #[arg(short = 'D', value_name = "DELIMITER", default_value = "\n", hide_default_value = true)]
    pub reply_delimiter: String,

    /// End with status 1 if the command fails, and write its error on the standard error
    #[arg(short = 'e')]
    pub error_status: bool,

    /// Replies as they are (the default where the output is not a terminal)
    #[arg(long, overrides_with_all = STYLES)]
    pub raw: bool,

    /// Replies for people, where the output is not a terminal too
    #[arg(long, overrides_with_all = STYLES)]
    pub no_raw: bool,

    /// Replies as CSV
    #[arg(long, overrides_with_all = STYLES)]
    pub csv: bool,

    /// Replies as JSON, in RESP3 unless -2 is given
    #[arg(long, overrides_with_all = STYLES)]
    pub json: bool,

    /// Replies as JSON, in ASCII alone
    #[arg(long, overrides_with_all = STYLES)]
    pub quoted_json: bool,

    /// Read the command's arguments as quoted strings
    #[arg(long)]
    pub quoted_input: bool,

    /// Show RESP3 pushes: yes or no (yes where the output is a terminal)
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    pub show_pushes: Option<bool>,

    /// Send the standard input as it is, protocol or lines of text, and count the replies
    #[arg(long, group = "mode")]
    pub pipe: bool,

    /// Seconds to wait for the last reply of --pipe; 0 for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub pipe_timeout: u64,

    /// List the keys
    #[arg(long, group = "mode")]
    pub scan: bool,

    /// Find the key with the most elements, for each type
    #[arg(long, group = "mode")]
    pub bigkeys: bool,

    /// Find the key that takes the most memory, for each type
    #[arg(long, group = "mode")]
    pub memkeys: bool,

    /// Elements of a key that --memkeys looks at; 0 for all
    #[arg(long, value_name = "ELEMENTS", group = "mode")]
    pub memkeys_samples: Option<u64>,

    /// Find the keys that are used most; needs an LFU policy
    #[arg(long, group = "mode")]
    pub hotkeys: bool,

    /// Only the keys that match, for --scan, --bigkeys, --memkeys and --hotkeys
    #[arg(long, value_name = "PATTERN")]
    pub pattern: Option<OsString>,

    /// The same, as a quoted string
    #[arg(long, value_name = "PATTERN", conflicts_with = "pattern")]
    pub quoted_pattern: Option<OsString>,

    /// COUNT of the SCAN commands
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Show what the server does, line by line
    #[arg(long, group = "mode")]
    pub stat: bool,

    /// Measure how long PING takes
    #[arg(long, group = "mode")]
    pub latency: bool,

    /// The same, beginning a new line every 15 seconds (or -i)
    #[arg(long, group = "mode")]
    pub latency_history: bool,

    /// The same as a spectrum in 256 colours, a line every second (or -i)
    #[arg(long, group = "mode")]
    pub latency_dist: bool,

    /// Measure for so many seconds how long this machine keeps a busy thread from running
    #[arg(long, value_name = "SECONDS", group = "mode")]
    pub intrinsic_latency: Option<u64>,

    /// Run the Lua script in FILE; a comma stands between its keys and its arguments
    #[arg(long, value_name = "FILE", group = "mode")]
    pub eval: Option<PathBuf>,

    /// Print this help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Print the version
    #[arg(long, short = 'v', action = ArgAction::Version)]
    version: Option<bool>,

    /// The command
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

impl Options {
    /// The form of replies, which depends on where they go.
    pub fn format(&self) -> Format {
        let style = if self.raw {
            Style::Raw
        } else if self.csv {
            Style::Csv
        } else if self.json {
            Style::Json
        } else if self.quoted_json {
            Style::QuotedJson
        } else if self.no_raw || std::io::stdout().is_terminal() {
            Style::Terminal
        } else {
            Style::Raw
        };
        Format {
            style,
            element_delimiter: self.element_delimiter.clone().into(),
            reply_delimiter: self.reply_delimiter.clone().into(),
        }
    }

    /// Whether to ask the server for RESP3.
    pub fn wants_resp3(&self) -> bool {
        self.resp3 || ((self.json || self.quoted_json) && !self.resp2)
    }
}

impl Usage for Options {
    fn command_line(&self) -> &[OsString] {
        &self.command
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..1e9).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number of seconds".to_owned()),
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.bytes().next() {
        Some(b'y' | b'Y') => Ok(true),
        Some(b'n' | b'N') => Ok(false),
        _ => Err("neither yes nor no".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Options {
        Options::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn the_last_style_wins() {
        assert_eq!(parse("c --csv --raw get a").format().style, Style::Raw);
        assert_eq!(parse("c --raw --json get a").format().style, Style::Json);
        assert_eq!(parse("c --raw --no-raw get a").format().style, Style::Terminal);
        assert!(parse("c --json get a").wants_resp3());
        assert!(!parse("c --json -2 get a").wants_resp3());
    }

    #[test]
    fn words_after_a_command_are_its_arguments() {
        let options = parse("c -r -1 -n 3 zadd z -1 a -x --json");
        assert_eq!(options.command, ["zadd", "z", "-1", "a", "-x", "--json"]);
        assert_eq!((options.repeat, options.db), (-1, 3));
        assert!(!options.json && !options.stdin);
    }
}
