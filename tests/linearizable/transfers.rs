//! Money that transactions of many clients move between accounts: none is lost, and none is made.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::common::{Client, Server, Value};

const ACCOUNTS: usize = 50;
const TELLERS: u64 = 4;

/// Transfers of each teller.
const EACH: usize = 1500;

/// Moves some money from one account to another one.
fn transfer(client: &mut Client, rng: &mut StdRng) {
    let (from, to) = (rng.random_range(0..ACCOUNTS), rng.random_range(0..ACCOUNTS));
    let amount = rng.random_range(1..100);
    let lines = format!(
        "MULTI\r\nDECRBY account:{from} {amount}\r\nINCRBY account:{to} {amount}\r\nEXEC\r\n"
    );
    client.write(lines.as_bytes());
    (0..3).for_each(|_| drop(client.read()));
    assert_eq!(client.read().elements().len(), 2);
}

/// As [`transfer`], with what was read before: done again until nobody else has been faster.
fn transfer_optimistically(client: &mut Client, rng: &mut StdRng, refused: &AtomicUsize) {
    // Few accounts, so that tellers meet.
    let (from, to) = (rng.random_range(0..3), rng.random_range(3..6));
    loop {
        client.run(&format!("WATCH account:{from} account:{to}"));
        let reply = client.run(&format!("MGET account:{from} account:{to}"));
        let numbers: Vec<i64> =
            reply.elements().iter().map(|text| text.text().parse().expect("a number")).collect();
        client.run("MULTI");
        client.run(&format!("SET account:{from} {}", numbers[0] - 1));
        client.run(&format!("SET account:{to} {}", numbers[1] + 1));
        match client.run("EXEC") {
            Value::Null => refused.fetch_add(1, Ordering::Relaxed),
            replies => return assert_eq!(replies.elements().len(), 2),
        };
    }
}

fn sum(reply: &Value) -> i64 {
    let numbers = reply.elements().iter();
    numbers.map(|text| text.text().parse::<i64>().expect("a number")).sum()
}

#[test]
fn transfers_keep_the_sum_at_every_moment() {
    for workers in ["1", "4"] {
        let server = Server::start(&["--io-threads", workers]);
        let mut admin = server.connect();
        let accounts: String = (0..ACCOUNTS).map(|number| format!(" account:{number}")).collect();
        for account in accounts.split_ascii_whitespace() {
            admin.run(&format!("SET {account} 1000"));
        }
        let total = ACCOUNTS as i64 * 1000;
        let (is_over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let tellers: Vec<_> = (0..TELLERS)
                .map(|teller| {
                    let (mut client, refused) = (server.connect(), &refused);
                    scope.spawn(move || {
                        let mut rng = StdRng::seed_from_u64(teller);
                        for _ in 0..EACH {
                            transfer(&mut client, &mut rng);
                            if rng.random_bool(0.3) {
                                transfer_optimistically(&mut client, &mut rng, refused);
                            }
                        }
                    })
                })
                .collect();
            let (mut auditor, is_over) = (server.connect(), &is_over);
            let audit = scope.spawn(move || {
                let mut audits = 0;
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(sum(&auditor.run(&format!("MGET{accounts}"))), total);
                    auditor.write(format!("MULTI\r\nMGET{accounts}\r\nEXEC\r\n").as_bytes());
                    (0..2).for_each(|_| drop(auditor.read()));
                    assert_eq!(sum(&auditor.read().elements()[0]), total);
                    audits += 1;
                }
                audits
            });
            let done: Vec<_> = tellers.into_iter().map(|teller| teller.join()).collect();
            is_over.store(true, Ordering::Relaxed);
            assert!(done.iter().all(Result::is_ok), "a teller has failed");
            assert!(audit.join().expect("the auditor") > 50, "there were hardly any audits");
        });
        let refused = refused.into_inner();
        assert!(refused > 10, "only {refused} transfers met another one");
    }
}
