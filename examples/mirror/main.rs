//! A server whose journal is replayed into a second one of the same process, to be compared with it.
//!
//! It takes the command line of `verbena-server`, and is one. The second server has no listeners and no
//! workers: nothing changes its data but the replay. A line `compare N` on the standard input is answered on the standard
//! output, with lines that begin with `mirror N: `, of which the last one is `mirror N: end`: how many records were
//! replayed, how many keys were compared, and the differences, each with its kind as the first word.

mod compare;
mod follower;

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use verbena::allocator::Counted;
use verbena::config::{self, Request, Startup};
use verbena::{log, process, server};

use follower::Follower;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn main() -> ExitCode {
    let startup = match config::parse(std::env::args_os().skip(1)) {
        Ok(Request::Serve(startup)) => *startup,
        Ok(_) => {
            eprintln!("mirror takes the options of a server that is to run");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match serve(startup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::warning(error);
            ExitCode::FAILURE
        }
    }
}

fn serve(mut startup: Startup) -> Result<(), String> {
    process::prepare(&mut startup.settings)?;
    let (primary, requests) = server::prepare(startup)?;
    let follower = Arc::new(Follower::start(primary).map_err(|error| error.to_string())?);
    thread::spawn(move || answer(&follower));
    server::serve(primary, requests)
}

/// Answers the lines of the standard input until it ends.
fn answer(follower: &Follower) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let Some(number) = line.strip_prefix("compare ") else {
            println!("mirror: unknown: {line}");
            continue;
        };
        let report = compare::compare(follower);
        println!("mirror {number}: records {}", report.records);
        println!("mirror {number}: keys {}", report.keys);
        for difference in report.differences {
            println!("mirror {number}: difference {difference}");
        }
        println!("mirror {number}: end");
    }
}
