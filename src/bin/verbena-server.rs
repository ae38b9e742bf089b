//! The server. See `verbena-server --help`.

use std::process::ExitCode;

use verbena::allocator::Counted;
use verbena::config::{self, LoadError, Request};
use verbena::{log, process, server};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn main() -> ExitCode {
    let mut startup = match config::parse(std::env::args_os().skip(1)) {
        Ok(Request::Serve(startup)) => startup,
        Ok(Request::Version) => {
            println!("{}", process::version_line());
            return ExitCode::SUCCESS;
        }
        Ok(Request::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Request::TestMemory) => {
            eprintln!("verbena-server has no memory test: use memtest86+ or memtester instead.");
            return ExitCode::FAILURE;
        }
        Err(error @ LoadError::Directive { .. }) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
        Err(error @ LoadError::Open { .. }) => {
            log::warning(error);
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = process::prepare(&mut startup.settings) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    match server::run(*startup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::warning(error);
            ExitCode::FAILURE
        }
    }
}

const HELP: &str = "\
Usage: verbena-server [/path/to/verbena.conf] [options] [-]
       verbena-server - (read config from stdin)
       verbena-server -v or --version
       verbena-server -h or --help

An option is any parameter of the configuration file, with its values: --NAME VALUE ...
docs/CONFIGURATION.md lists the parameters; Valkey's configuration files are understood.

Examples:
       verbena-server (run the server with default conf)
       echo 'maxmemory 128mb' | verbena-server -
       verbena-server /etc/verbena/6379.conf
       verbena-server --port 7777
       verbena-server --port 7777 --rdma-bind 192.0.2.1 --rdma-port 7777
       verbena-server /etc/verbena.conf --loglevel verbose -
";
