//! The command line of `verbena-benchmark`.

use std::ffi::OsString;

use clap::{ArgAction, Parser};

use crate::tools::server_options::ServerOptions;
use crate::tools::usage::Usage;

/// Bytes of the longest value: as long as the server takes by default.
const MAX_SIZE: u64 = 512 << 20;

/// Measures the throughput and the latency of a Verbena, Valkey or Redis server.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "verbena-benchmark",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = "verbena-benchmark [OPTIONS] [COMMAND ARGS...]",
    after_help = "\
In a command of your own, these words are replaced each time that it is sent:
  __rand_int__  12 digits, a random number below the -r range
  __key__       key:__rand_int__, the key of the GET and SET tests
and __data__ is the value of -d bytes.

Examples:
  verbena-benchmark -t set,get -d 64 -r 100000 -P 64 -n 1000000 -q
  verbena-benchmark --rdma -h 10.0.0.1 -c 1 --poll -t get --json
  verbena-benchmark -r 10000 lpush mylist __rand_int__"
)]
pub struct Options {
    #[command(flatten)]
    pub server: ServerOptions,

    /// Parallel connections
    #[arg(short = 'c', value_name = "CLIENTS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub clients: u32,

    /// Requests of each test, in all
    #[arg(short = 'n', value_name = "REQUESTS", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: u64,

    /// Run each test for so many seconds, in place of -n
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "requests")]
    pub duration: Option<f64>,

    /// Send at random times, so many requests per second over all connections, whether or not
    /// replies have come; latencies count from when a request was due
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with = "idle")]
    pub rate: Option<f64>,

    /// Load the server for so many seconds before measuring
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub warmup: Option<f64>,

    /// Send so many requests before measuring
    #[arg(long, value_name = "REQUESTS", conflicts_with = "warmup")]
    pub warmup_requests: Option<u64>,

    /// Bytes of the values
    #[arg(short = 'd', value_name = "BYTES", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=MAX_SIZE))]
    pub size: u64,

    /// Database number
    #[arg(long, value_name = "DB", default_value_t = 0)]
    pub dbnum: u32,

    /// Speak RESP3
    #[arg(short = '3')]
    pub resp3: bool,

    /// Threads, among which the connections are divided
    #[arg(long, value_name = "THREADS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub threads: u32,

    /// Keep the connections (1), or connect again for every pipeline (0)
    #[arg(short = 'k', value_name = "0|1", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub keep_alive: u8,

    /// Take keys, members and scores at random from so many; without it, all are the same
    #[arg(short = 'r', value_name = "KEYSPACE", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub keyspace: Option<u64>,

    /// With -r, take them in order, beginning with 0
    #[arg(long, requires = "keyspace")]
    pub sequential: bool,

    /// Seed of the random numbers
    #[arg(long, value_name = "SEED", default_value_t = 12345)]
    pub seed: u64,

    /// Requests that a connection sends before it waits for their replies; with --rate, that it
    /// may have in flight
    #[arg(short = 'P', value_name = "REQUESTS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub pipeline: u32,

    /// One line for each test
    #[arg(short = 'q')]
    pub quiet: bool,

    /// Decimals of the latencies, in milliseconds
    #[arg(long, value_name = "DIGITS", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=6))]
    pub precision: u8,

    /// Output as CSV
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,

    /// Output as JSON, one object for each test
    #[arg(long)]
    pub json: bool,

    /// Run the tests forever
    #[arg(short = 'l')]
    pub forever: bool,

    /// Count error replies, and go on; without it, the first one ends its test
    #[arg(short = 'e')]
    pub count_errors: bool,

    /// Tests to run, separated by commas; `ping` and `lrange` stand for all that begin so
    #[arg(short = 't', value_name = "TESTS", value_delimiter = ',')]
    pub tests: Vec<String>,

    /// Open the connections and leave them idle
    #[arg(short = 'I')]
    pub idle: bool,

    /// Read the command's last argument from the standard input
    #[arg(short = 'x')]
    pub stdin: bool,

    /// Print this help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Print the version
    #[arg(long, short = 'v', action = ArgAction::Version)]
    version: Option<bool>,

    /// A command to run in place of the tests
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

impl Usage for Options {
    fn command_line(&self) -> &[OsString] {
        &self.command
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..1e9).contains(&seconds) => Ok(seconds),
        _ => Err("not a number of seconds".to_owned()),
    }
}

/// Requests per second, over all connections, at most.
const MAX_RATE: f64 = 1e8;

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= MAX_RATE => Ok(rate),
        _ => Err("not a number of requests per second above 0 and up to 100,000,000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_those_of_redis_benchmark() {
        let options = Options::try_parse_from(
            "b -h host -p 1 -a -secret -c 5 -n 10 -d 64 -k 0 -r 100 -P 16 -q -t set,get --csv -e \
             --threads 2 --precision 2 --seed 7 --dbnum 3"
                .split_whitespace(),
        )
        .unwrap();
        assert_eq!((&*options.server.host, options.server.port), ("host", 1));
        assert_eq!(options.server.password.as_deref(), Some("-secret"));
        assert_eq!(options.tests, ["set", "get"]);
        assert_eq!(options.keyspace, Some(100));
        assert!(options.command.is_empty());
    }

    #[test]
    fn what_follows_a_command_is_its_own() {
        let options =
            Options::try_parse_from(["b", "-n", "5", "zadd", "-k", "-1", "--json", "-x"]).unwrap();
        assert_eq!(options.command, ["zadd", "-k", "-1", "--json", "-x"]);
        assert!(!options.json && !options.stdin);
    }

    #[test]
    fn senseless_values_are_refused() {
        for wrong in [
            "-c 0",
            "-n 0",
            "-d 0",
            "-P 0",
            "-k 2",
            "-r 0",
            "--threads 0",
            "--warmup -1",
            "--rate 0",
            "--rate -5",
            "--rate nan",
            "--rate inf",
            "--rate fast",
            "--rate 100 -I",
            "--csv --json",
        ] {
            assert!(Options::try_parse_from(format!("b {wrong}").split(' ')).is_err(), "{wrong}");
        }
    }
}
