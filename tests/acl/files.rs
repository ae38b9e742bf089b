//! ACL files, and users that the configuration file declares.

use std::fs;

use super::common::tool;
use super::{Pair, Server};

/// A server and the oracle with an ACL file of these lines.
fn with_file(lines: &str) -> Pair {
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [ours, theirs] = directories.each_ref().map(|directory| {
        fs::write(directory.path().join("users.acl"), lines).unwrap();
        format!("dir {}\naclfile users.acl\n", directory.path().display())
    });
    let servers = [Server::start_with_file(&ours, &[]), Server::oracle_with_file(&theirs)];
    Pair { directories: directories.into(), ..Pair::of(servers) }
}

impl Pair {
    fn write_file(&mut self, text: &str) {
        for directory in &self.directories {
            fs::write(directory.path().join("users.acl"), text).unwrap();
        }
    }

    fn read_file(&self) -> String {
        let read = |directory: &tempfile::TempDir| {
            fs::read_to_string(directory.path().join("users.acl")).unwrap()
        };
        let texts: Vec<String> = self.directories.iter().map(read).collect();
        assert_eq!(texts[0], texts[1]);
        texts[0].clone()
    }
}

#[test]
fn a_file_is_obeyed_whole_or_not_at_all() {
    let mut pair = with_file("user alice on >pw ~* +@all\n");
    pair.connect();
    pair.run(0, "ACL LIST");
    for text in [
        "user alice on >pw\n\n# comment\nuser bob on\n",
        "user alice on nope\n",
        "alice on\n",
        "user alice on\nuser alice off\n",
        "user alice\n",
        "user\n",
        "USER alice on\n",
        "user alice on (+get ~a)\n",
        "user \"a b\" on\n",
        "user alice on '~a b'\n",
        "  user alice on  \n",
        "\tuser alice\ton\t\n",
        "user alice on >pw\r\nuser bob on\r\n",
        "user alice on nope\nuser bob on nope2\nuser bob\nfoo bar\n",
        "user default on\nuser default on",
        "user alice  on",
        "user alice on +nope",
        "user  alice on",
        "",
        "\n\n",
        "user alice on >p \"w\"",
        "user alice on )",
        "user alice on (+get) x)",
        "user alice (on)",
        "user x on (+nope)",
        "user x on (~a\t+get)",
        "user x on #abc",
        "user x on db=x",
        "user x on ~* ~a",
        "user x <p",
        "user x on (+get  ~a) +set",
        "user x on (~a b) (+c)",
        "user alice on nope\nuser alice on nope",
        "user default on nopass ~* +@all &*",
        "user default on nopass ~a +@all",
    ] {
        pair.write_file(text);
        pair.run(0, "ACL LOAD");
        pair.run(0, "ACL LIST");
    }
    for line in ["ACL SETUSER w on >x ~k (+get ~z)", "ACL SETUSER v db=1 %R~y &x", "ACL SAVE"] {
        pair.run(0, line);
    }
    let saved = pair.read_file();
    assert_eq!(saved.lines().count(), 3, "{saved}");
    pair.run(0, "ACL LOAD");
    pair.run(0, "ACL LIST");
    // Users are in the ACL file, and not in the configuration file.
    pair.run(0, "CONFIG REWRITE");
}

#[test]
fn loading_ends_the_connections_of_users_that_are_gone_or_have_lost_a_channel() {
    let mut pair = with_file(
        "user a on nopass ~* +@all\nuser b on nopass ~* +@all &x\nuser c on nopass +@all\n\
         user default on nopass ~* &* +@all\n",
    );
    for user in ["default", "a", "b", "c", "b"] {
        pair.connect();
        let by = pair.clients.len() - 1;
        pair.run(by, &format!("AUTH {user} x"));
    }
    pair.run(4, "SUBSCRIBE x");
    pair.write_file(
        "user a off ~* +@all\nuser b on nopass ~x +get &x\nuser default on nopass ~* &* +@all\n",
    );
    pair.run(0, "ACL LOAD");
    pair.run(1, "PING");
    pair.run(2, "PING");
    pair.run(2, "GET x");
    pair.run(2, "GET y");
    pair.clients[3].iter_mut().for_each(super::Client::expect_closed);
    pair.write_file(
        "user a off ~* +@all\nuser b on nopass ~x +get &y\nuser default on >foo ~* &* +@all\n",
    );
    pair.run(0, "ACL LOAD");
    pair.clients[4].iter_mut().for_each(super::Client::expect_closed);
    for by in 0..3 {
        pair.run(by, "PING");
    }
}

#[test]
fn the_configuration_file_declares_users_and_is_rewritten_with_them() {
    let lines = "# first\nuser bob on nopass ~b +get\nhz 10\nuser alice off (+get ~x)\n# last\n";
    let servers = [Server::start_with_file(lines, &[]), Server::oracle_with_file(lines)];
    let mut pair = Pair::of(servers);
    pair.connect();
    pair.run(0, "ACL LIST");
    let users = |pair: &mut Pair| {
        pair.run(0, "CONFIG REWRITE");
        let files = pair.clients[0].each_mut().map(|client| {
            let file = client.run("INFO server").text();
            let file =
                file.lines().find_map(|line| line.strip_prefix("config_file:")).unwrap().to_owned();
            let text = fs::read_to_string(file).unwrap();
            text.lines()
                .filter(|line| line.starts_with("user "))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        assert_eq!(files[0], files[1]);
    };
    users(&mut pair);
    for line in
        ["ACL SETUSER carol on >x (+get ~y)", "ACL DELUSER alice", "ACL SETUSER default >pp"]
    {
        pair.run(0, line);
    }
    users(&mut pair);
    pair.run(0, "ACL DELUSER bob carol");
    users(&mut pair);
}

#[test]
fn a_server_does_not_start_with_users_that_it_does_not_understand() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.acl");
    for (text, options, expected) in [
        ("user a nope\n", "--aclfile users.acl", "users.acl:1: Syntax error."),
        (
            "",
            "--aclfile nosuch.acl",
            "Error loading ACLs, opening file 'nosuch.acl': No such file or directory",
        ),
        ("user a\n", "--aclfile users.acl --user b on", "not in both"),
        (
            "",
            "--user a on +nope",
            "Error loading ACL rule '+nope' for the user named 'a': Unknown command",
        ),
        ("", "--user a --user a", "Error in user declaration 'a': Duplicate user found."),
        ("", "--user a nope", "Error in user declaration 'a': Syntax error"),
    ] {
        fs::write(&file, text).unwrap();
        let line = format!("--port 0 --dir {} {options}", directory.path().display());
        let output = tool::run(env!("CARGO_BIN_EXE_verbena-server"), &line, &[], b"");
        let said = tool::text(&output.stdout) + &tool::text(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{options}: {said}");
    }
}
