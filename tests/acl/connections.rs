//! What happens to connections: as whom they begin, how they authenticate, and what ends them.

use super::Pair;

#[test]
fn the_default_users_password_is_requirepass() {
    let mut pair = Pair::start(&["--requirepass", "foo"], 0);
    for client in 0..2 {
        let clients = pair.servers.each_ref().map(super::Server::connect);
        pair.clients.push(clients);
        for line in [
            "PING",
            "NOPE",
            "GET",
            "CONFIG",
            "CONFIG NOPE",
            "HELLO",
            "HELLO 3",
            "ACL WHOAMI",
            "RESET",
            "AUTH",
            "AUTH bar",
            "AUTH default bar",
            "AUTH nobody foo",
            "AUTH a b c",
        ] {
            pair.run(client, line);
        }
        pair.run(client, "AUTH foo");
        pair.run(client, "ACL WHOAMI");
    }
    for line in [
        "CONFIG GET requirepass",
        "ACL LIST",
        "CONFIG SET requirepass foo",
        "ACL SETUSER default >bar",
        "CONFIG GET requirepass",
        "CONFIG SET requirepass foo",
        "ACL LIST",
        "ACL SETUSER default nopass",
        "CONFIG GET requirepass",
        "CONFIG SET requirepass foo",
        "ACL LIST",
        "AUTH x",
        "AUTH default x",
        "CONFIG SET requirepass bar",
        "ACL LIST",
        "PING",
        "RESET",
        "PING",
        "AUTH foo",
        "AUTH bar",
    ] {
        pair.run(0, line);
    }
    pair.run(1, "PING");
    pair.same(0, &["CONFIG", "SET", "requirepass", ""]);
    pair.run(0, "ACL LIST");
    pair.run(1, "AUTH foo");
    pair.same(0, &["CONFIG", "SET", "requirepass", "a\0b"]);
    pair.run(1, "AUTH a");
    pair.same(1, &["AUTH", "a\0b"]);
}

#[test]
fn a_disabled_user_keeps_its_connections_and_gets_no_new_ones() {
    let mut pair = Pair::start(&[], 3);
    pair.run(0, "ACL SETUSER u on >p +@all ~* &*");
    for line in ["AUTH u p", "ACL WHOAMI"] {
        pair.run(1, line);
    }
    pair.run(0, "ACL SETUSER u off");
    for line in ["PING", "AUTH u p", "ACL WHOAMI", "RESET", "ACL WHOAMI", "AUTH u p"] {
        pair.run(1, line);
    }
    pair.run(0, "ACL SETUSER default off");
    pair.run(0, "PING");
    pair.run(2, "PING");
    let clients = pair.servers.each_ref().map(super::Server::connect);
    pair.clients.push(clients);
    for line in ["PING", "AUTH default x", "AUTH x", "HELLO 3 AUTH default x"] {
        pair.run(3, line);
    }
    pair.run(0, "ACL SETUSER default on");
    pair.run(3, "PING");
    // Whoever may do nothing may still become another.
    pair.run(0, "ACL SETUSER u on nopass");
    pair.run(0, "ACL SETUSER default -@all");
    for line in [
        "PING",
        "ACL WHOAMI",
        "AUTH u x",
        "PING",
        "AUTH default x",
        "RESET",
        "AUTH u x",
        "ACL WHOAMI",
    ] {
        pair.run(2, line);
    }
    pair.run(2, "QUIT");
}

#[test]
fn hello_takes_the_last_of_its_users() {
    let mut pair = Pair::start(&[], 1);
    pair.run(0, "ACL SETUSER a on >p +@all");
    pair.run(0, "ACL SETUSER b on >q +@all");
    let hello = |pair: &mut Pair, line: &str| {
        let replies = pair.clients[0].each_mut().map(|client| client.run(line));
        let errors = replies.each_ref().map(|reply| matches!(reply, super::Value::Error(_)));
        assert_eq!(errors[0], errors[1], "{line}");
        if errors[0] {
            assert_eq!(replies[0], replies[1], "{line}");
        }
        pair.run(0, "ACL WHOAMI");
        pair.run(0, "CLIENT GETNAME");
    };
    for line in [
        "HELLO 2 AUTH a x AUTH b q AUTH a p",
        "HELLO 2 AUTH b q AUTH b x",
        "HELLO 2 SETNAME n AUTH b x",
        "HELLO 2 AUTH b q SETNAME n",
        "HELLO 2 AUTH a p SETNAME",
        "HELLO 4 AUTH a p",
        "HELLO AUTH a p",
    ] {
        hello(&mut pair, line);
    }
}

#[test]
fn connections_of_removed_users_end() {
    let mut pair = Pair::start(&[], 4);
    for user in ["a", "b"] {
        pair.run(0, &format!("ACL SETUSER {user} on nopass +@all ~* &*"));
    }
    pair.run(1, "AUTH a x");
    pair.run(2, "AUTH b x");
    pair.send(1, "BLPOP k 0");
    pair.run(0, "ACL DELUSER a");
    pair.clients[1].iter_mut().for_each(super::Client::expect_closed);
    pair.run(2, "PING");
    // Its own, after the reply.
    pair.run(2, "ACL DELUSER b");
    pair.clients[2].iter_mut().for_each(super::Client::expect_closed);
    pair.run(3, "PING");
    pair.run(0, "ACL USERS");
}

#[test]
fn subscribers_end_that_lose_a_channel() {
    let mut pair = Pair::start(&[], 0);
    let mut next = 0;
    let channels = "resetchannels &foo:1 &bar:* &orders";
    for (subscription, change, ends) in [
        ("SUBSCRIBE foo:1", "resetchannels &foo:1", false),
        ("SUBSCRIBE foo:1", "resetchannels &bar:*", true),
        ("SUBSCRIBE bar:2", "resetchannels &bar:*", false),
        ("SUBSCRIBE bar:2", "resetchannels &bar:2", false),
        ("SUBSCRIBE bar:2", "resetchannels &bar:3", true),
        ("PSUBSCRIBE bar:*", "resetchannels &bar:* &x", false),
        ("PSUBSCRIBE bar:*", "resetchannels &bar:2 &foo:1 &orders", true),
        ("SSUBSCRIBE orders", "resetchannels", true),
        ("SSUBSCRIBE orders", "allchannels", false),
        ("SUBSCRIBE foo:1 bar:1", "resetchannels &foo:1", true),
        ("SUBSCRIBE foo:1", "reset on nopass", true),
        ("SUBSCRIBE foo:1", "resetchannels (&foo:1)", false),
        ("SUBSCRIBE foo:1", "-@all off", false),
    ] {
        pair.connect();
        let (admin, client, other) = (next, next + 1, next + 2);
        next += 3;
        pair.connect();
        pair.connect();
        pair.run(admin, &format!("ACL SETUSER u reset on nopass +@all ~* {channels}"));
        pair.run(client, "AUTH u x");
        pair.run(client, subscription);
        (2..subscription.split(' ').count()).for_each(|_| drop(pair.read(client)));
        pair.run(other, "SUBSCRIBE foo:1");
        pair.run(other, "PING");
        pair.run(admin, &format!("ACL SETUSER u {change}"));
        if ends {
            pair.clients[client].iter_mut().for_each(super::Client::expect_closed);
        } else {
            pair.run(client, "PING");
        }
        // Nobody else's end.
        pair.run(other, "PING");
    }
}

#[test]
fn a_blocked_command_is_refused_when_it_would_be_served() {
    for (change, served) in
        [("-blpop", false), ("resetkeys", false), ("db=1", false), ("off", true)]
    {
        let mut pair = Pair::start(&[], 2);
        pair.run(0, "ACL SETUSER u on nopass +blpop ~k* alldbs");
        pair.run(1, "AUTH u x");
        let ids = pair.clients[0].each_mut().map(|client| {
            client
                .run("CLIENT LIST USER u")
                .text()
                .split([' ', '='])
                .nth(1)
                .unwrap()
                .parse()
                .unwrap()
        });
        pair.run(0, "CONFIG RESETSTAT");
        pair.send(1, "BLPOP k1 0");
        for (client, id) in pair.clients[0].iter_mut().zip(ids) {
            client.wait_until_blocked(id);
        }
        pair.run(0, &format!("ACL SETUSER u {change}"));
        pair.run(0, "LPUSH k1 v");
        let reply = pair.read(1);
        assert_eq!(reply.starts_with("-NOPERM"), !served, "{change}: {reply}");
        pair.run(0, "LLEN k1");
        let blpop = pair.clients[0].each_mut().map(|client| {
            let info = client.run("INFO commandstats").text();
            let line = info.lines().find(|line| line.contains("blpop")).unwrap().to_owned();
            let fields = line.split(',').filter(|field| !field.contains("usec"));
            fields.map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(blpop[0], blpop[1], "{change}");
    }
}

#[test]
fn clients_are_found_by_their_users() {
    let mut pair = Pair::start(&[], 3);
    pair.run(0, "ACL SETUSER u on nopass +@all ~*");
    pair.run(1, "AUTH u x");
    let users = |pair: &mut Pair, line: &str| {
        let found = pair.clients[0].each_mut().map(|client| {
            let lines = client.run(line).text();
            let user = |line: &str| {
                line.split(' ').find(|word| word.starts_with("user=")).unwrap().to_owned()
            };
            lines.lines().map(user).collect::<Vec<_>>()
        });
        assert_eq!(found[0], found[1], "{line}");
        found[0].join(" ")
    };
    assert_eq!(users(&mut pair, "CLIENT LIST"), "user=default user=u user=default");
    assert_eq!(users(&mut pair, "CLIENT LIST USER u"), "user=u");
    users(&mut pair, "CLIENT LIST USER default");
    users(&mut pair, "CLIENT LIST NOT-USER u");
    pair.run(0, "CLIENT LIST USER nobody");
    pair.run(0, "CLIENT KILL USER nobody");
    pair.run(0, "CLIENT KILL USER u");
    pair.clients[1].iter_mut().for_each(super::Client::expect_closed);
}

#[test]
fn secrets_are_not_shown() {
    let mut pair = Pair::start(&[], 2);
    pair.run(0, "CONFIG SET slowlog-log-slower-than 0");
    pair.run(1, "MONITOR");
    for line in [
        "ACL SETUSER u on >secret ~* +@all",
        "ACL GETUSER u",
        "ACL DRYRUN u GET x",
        "ACL LIST",
        "AUTH u secret",
        "AUTH secret",
        "AUTH u wrong",
        "ACL DELUSER x y",
        "CONFIG SET requirepass secret",
        "CONFIG SET masterauth secret",
        "ACL WHOAMI",
        "ACL SETUSER v reset >secret",
        "CONFIG SET requirepass x maxmemory 0",
    ] {
        let [_, _] = pair.clients[0].each_mut().map(|client| client.run(line));
        pair.run(0, "ECHO end");
        let monitored = pair.clients[1].each_mut().map(|client| {
            let mut lines = Vec::new();
            while lines.last().is_none_or(|line: &String| !line.ends_with("\"end\"")) {
                let line = client.read().text();
                lines.extend(line.split_once("] ").map(|(_, words)| words.to_owned()));
            }
            lines
        });
        assert_eq!(monitored[0], monitored[1], "{line}");
    }
    let logged = pair.clients[0].each_mut().map(|client| {
        let log = client.run("SLOWLOG GET 20");
        let args = log.elements().iter().map(|entry| entry.elements()[3].to_string());
        args.collect::<Vec<_>>()
    });
    assert_eq!(logged[0], logged[1]);
}
