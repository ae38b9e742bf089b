//! ACL LOG: which denials are entries, how they are grouped, and how many are kept.

use super::{Client, Pair, Value};

/// The entries, without what differs from one server to the other: times, and most of the client's line.
fn entries(client: &mut Client, line: &str) -> Vec<Vec<(String, String)>> {
    let reply = client.run(line);
    let entry = |entry: &Value| {
        let fields = entry.elements().chunks_exact(2).map(|field| {
            let name = field[0].text();
            let value = match name.as_str() {
                "age-seconds" | "timestamp-created" | "timestamp-last-updated" => String::new(),
                "client-info" => {
                    let text = field[1].text();
                    let kept = ["name=", "db=", "multi=", "cmd=", "user=", "resp="];
                    let words =
                        text.split(' ').filter(|word| kept.iter().any(|k| word.starts_with(k)));
                    words.collect::<Vec<_>>().join(" ")
                }
                _ => field[1].to_string(),
            };
            (name, value)
        });
        fields.collect()
    };
    reply.elements().iter().map(entry).collect()
}

impl Pair {
    fn same_log(&mut self, line: &str) -> usize {
        let [ours, theirs] = self.clients[0].each_mut().map(|client| entries(client, line));
        assert_eq!(ours, theirs, "{line}");
        ours.len()
    }
}

#[test]
fn denials_are_logged_and_grouped_as_on_valkey() {
    let mut pair = Pair::start(&[], 3);
    pair.run(
        0,
        "ACL SETUSER u on >p ~k* &c -@all +get +multi +exec +publish +client +select +incr db=0",
    );
    pair.run(1, "AUTH u wrong");
    pair.run(1, "auth u wrong");
    pair.run(1, "HELLO 3 AUTH u wrong");
    pair.run(1, "hello 2 auth nobody wrong");
    assert_eq!(pair.same_log("ACL LOG"), 4);
    pair.run(1, "AUTH u p");
    pair.run(2, "AUTH u p");
    pair.run(1, "CLIENT SETNAME one");
    for line in [
        "GET x",
        "GET x",
        "GET y",
        "DEL x",
        "DEL y",
        "CONFIG GET x",
        "PUBLISH d x",
        "SELECT 1",
        "MULTI",
        "DEL x",
        "GET x",
        "EXEC",
        "MULTI",
        "INCR k",
        "GET k1",
    ] {
        pair.run(1, line);
        pair.same_log("ACL LOG 100");
    }
    pair.run(0, "ACL SETUSER u -incr resetkeys");
    pair.run(1, "EXEC");
    pair.same_log("ACL LOG 100");
    pair.run(2, "GET x");
    pair.same_log("ACL LOG 100");
    // Only the newest ten are compared with a new one.
    for key in 0..12 {
        pair.run(1, &format!("GET key{key}"));
    }
    for key in [2, 1, 0, 11] {
        pair.run(1, &format!("GET key{key}"));
        pair.same_log("ACL LOG 100");
    }
    assert_eq!(pair.same_log("ACL LOG"), 10);
    assert_eq!(pair.same_log("ACL LOG 2"), 2);
    assert_eq!(pair.same_log("ACL LOG 0"), 0);
    pair.same_log("ACL LOG -1");
    pair.run(0, "CONFIG SET acllog-max-len 5");
    pair.same_log("ACL LOG 100");
    pair.run(1, "GET more");
    assert_eq!(pair.same_log("ACL LOG 100"), 5);
    pair.run(0, "CONFIG SET acllog-max-len 0");
    assert_eq!(pair.same_log("ACL LOG 100"), 5);
    pair.run(1, "GET even-more");
    pair.same_log("ACL LOG 100");
    pair.run(0, "ACL LOG RESET");
    assert_eq!(pair.same_log("ACL LOG 100"), 0);
    pair.run(0, "CONFIG SET acllog-max-len 128");
    pair.run(1, "GET again");
    pair.same_log("ACL LOG 100");
    // A dry run denies nothing to anybody.
    pair.run(0, "ACL DRYRUN u SET a b");
    pair.same_log("ACL LOG 100");
    // The types of the reply.
    let [ours, theirs] = pair.clients[0].each_mut().map(|client| {
        client.run("HELLO 3");
        client.run("ACL LOG")
    });
    let types = |reply: &Value| {
        let text = reply.elements()[0].to_string();
        (text.starts_with('{'), text.contains("\"age-seconds\": (double)"))
    };
    assert_eq!((types(&ours), types(&theirs)), ((true, true), (true, true)));
}

#[test]
fn info_counts_denials_by_their_reasons() {
    let mut pair = Pair::start(&[], 2);
    pair.run(0, "ACL SETUSER u on nopass ~k +get +publish +select db=0");
    pair.run(1, "AUTH nobody x");
    pair.run(1, "AUTH u x");
    for line in ["GET x", "GET k", "SET k v", "PUBLISH a b", "SELECT 1", "SELECT 2", "DEL k"] {
        pair.run(1, line);
    }
    let counts = |client: &mut Client| -> Vec<String> {
        let info = client.run("INFO everything").text();
        let shown = |line: &&str| {
            line.starts_with("acl_access")
                || line.starts_with("errorstat")
                || line.contains("rejected_calls=1")
        };
        let line = |line: &str| line.split("usec=").next().unwrap_or_default().to_owned();
        let mut lines: Vec<String> = info.lines().filter(shown).map(line).collect();
        lines.sort();
        lines
    };
    let [ours, theirs] = pair.clients[0].each_mut().map(counts);
    assert_eq!(ours, theirs);
    assert!(ours.contains(&"acl_access_denied_db:2".to_owned()), "{ours:?}");
}
