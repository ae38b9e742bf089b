//! Keyspace events: the events of each command, by class, collected by a listener instead of
//! subscribers.

#[path = "common/speech.rs"]
mod speech;

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use verbena::config::Settings;
use verbena::keyspace::KeyspaceEvent;
use verbena::server;
use verbena::state::Server;
use verbena::worker::Worker;

/// The events of these commands with these classes switched on, as `name key`.
fn events(classes: &str, commands: &str) -> Vec<String> {
    let (server, _requests) = server::new(Settings { io_threads: 1, ..Settings::default() }, None);
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = {
        let seen = seen.clone();
        move |event: &KeyspaceEvent| {
            let key = String::from_utf8_lossy(&event.key);
            let text = match event.db {
                0 => format!("{} {key}", event.name),
                db => format!("{} {key} in {db}", event.name),
            };
            seen.lock().unwrap().push(text);
        }
    };
    server.delivery.listen(Arc::new(listener));
    run(server, &format!("config set notify-keyspace-events {classes}\r\n{commands}\r\n"));
    let seen = seen.lock().unwrap();
    seen.clone()
}

fn run(server: &'static Server, text: &str) {
    verbena_transport::event_loop::block_on(async {
        let worker = Rc::new(Worker::new(server, 0));
        let (session, _, replies) = speech::client(&worker, text, false);
        session.await;
        let replies = String::from_utf8_lossy(&replies.borrow()).into_owned();
        assert!(!replies.lines().any(|line| line.starts_with('-')), "{replies}");
    })
    .unwrap();
}

fn all(commands: &str) -> Vec<String> {
    events("KEA", commands)
}

#[test]
fn each_type_announces_its_changes() {
    assert_eq!(
        all("set a 1\nincr a\nappend a x\ngetdel a"),
        ["set a", "incrby a", "append a", "del a"]
    );
    assert_eq!(
        all("set a 1 ex 100\nset a 1 keepttl\npsetex a 9000 1\nmsetex 2 b 1 c 2 px 9000"),
        [
            "set a", "expire a", "set a", "set a", "expire a", "set b", "expire b", "set c",
            "expire c"
        ]
    );
    assert_eq!(all("rpush l a b\nlpop l\nrpop l"), ["rpush l", "lpop l", "rpop l", "del l"]);
    assert_eq!(all("rpush l a\nlmove l m left right"), ["rpush l", "rpush m", "lpop l", "del l"]);
    assert_eq!(all("hset h f v\nhdel h f"), ["hset h", "hdel h", "del h"]);
    assert_eq!(all("xadd s 1-1 f v\nxdel s 1-1"), ["xadd s", "xdel s"]);
    assert_eq!(all("setbit b 1 1\npfadd p x"), ["setbit b", "pfadd p"]);
}

#[test]
fn key_commands_announce_their_events() {
    assert_eq!(
        all("set a 1\nrename a b\ncopy b c\nmove b 1\nexpire c 100\npersist c\nexpire c -1"),
        [
            "set a",
            "rename_from a",
            "rename_to b",
            "copy_to c",
            "move_from b",
            "move_to b in 1",
            "expire c",
            "persist c",
            "expired c"
        ]
    );
}

#[test]
fn hashes_announce_changes_of_their_fields() {
    assert_eq!(
        all("hsetex h ex 100 fields 1 a 1\nhpersist h fields 1 a\nhincrby h a 1\n\
             hgetex h px 9000 fields 1 a\nhexpire h 100 gt fields 1 a\nhexpire h 0 fields 1 a"),
        [
            "hset h",
            "hexpire h",
            "hpersist h",
            "hincrby h",
            "hexpire h",
            "hexpire h",
            "hexpired h",
            "del h"
        ]
    );
    assert_eq!(
        events("KAn", "hsetex h exat 1 fields 1 a 1"),
        ["new h", "hset h", "hexpire h", "hexpired h", "del h"]
    );
}

#[test]
fn commands_without_effect_announce_nothing() {
    assert_eq!(all("get a\ndel a\nlpushx l a\nset a 1 xx\nhdel h f"), [""; 0]);
}

#[test]
fn only_the_classes_that_are_asked_for_are_announced() {
    let commands = "set a 1\nrpush l x\ndel a\nget a";
    assert_eq!(events("Kg", commands), ["del a"]);
    assert_eq!(events("El", commands), ["rpush l"]);
    assert_eq!(events("K$l", commands), ["set a", "rpush l"]);
    assert_eq!(events("Km", commands), ["keymiss a"]);
    assert_eq!(events("Kn", commands), ["new a", "new l"]);
    // Neither kind of channel is switched on.
    assert_eq!(events("g$l", commands), [""; 0]);
    assert_eq!(events("\"\"", commands), [""; 0]);
}

#[test]
fn events_can_be_switched_off() {
    assert_eq!(events("KA", "set a 1\nconfig set notify-keyspace-events \"\"\nset a 2"), ["set a"]);
}
