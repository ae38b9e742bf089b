//! Rules: which are accepted, and how the users that they make are described.

use super::Pair;

/// Each is applied to a user of its own; `!` separates calls of ACL SETUSER.
const RULES: &[&str] = &[
    "",
    "on",
    "off",
    "ON OFF on",
    "nopass",
    "resetpass",
    ">a",
    ">",
    ">a >a >b",
    ">a <a",
    ">a <b",
    "<a",
    "nopass >a",
    ">a nopass",
    ">a resetpass",
    "#abc",
    "!abc",
    "#ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    "#CA978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    ">a !ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    "skip-sanitize-payload",
    "sanitize-payload",
    "~a",
    "~",
    "~a ~b ~a",
    "~*",
    "~* ~a",
    "~a ~*",
    "allkeys ~a",
    "allkeys %R~a",
    "allkeys resetkeys ~a",
    "%R~a",
    "%W~a",
    "%RW~a",
    "%WR~a",
    "%rw~a",
    "%R~a %W~a",
    "%R~a ~a",
    "~a %R~a",
    "%R",
    "%W",
    "%",
    "%~a",
    "%RR~a",
    "%RRW~a",
    "%X~a",
    "%R~*",
    "%R~* ~a",
    "%R~* %W~*",
    "%RW~* ~a",
    "%R~a~b",
    "ALLKEYS",
    "&a",
    "&",
    "&a &b &a",
    "&*",
    "&* &a",
    "&* &*",
    "&a &*",
    "allchannels &a",
    "allchannels resetchannels &a",
    "db=0",
    "db=0,1,0",
    "db=3,1,2",
    "db=99",
    "db=",
    "db=x",
    "db=1,",
    "db=,1",
    "db=-1",
    "db=+1",
    "db=-0",
    "db=00",
    "db=2147483647",
    "db=2147483648",
    "db=99999999999999999999999",
    "DB=1",
    "db=1 db=2",
    "db=1 alldbs",
    "alldbs db=1",
    "resetdbs",
    "resetdbs db=1",
    "ALLDBS",
    "RESETDBS",
    "+get",
    "-get",
    "+GET",
    "+get -get",
    "+get -get +get",
    "+nope",
    "-nope",
    "+",
    "-",
    "+@read",
    "+@READ",
    "-@read",
    "+@nope",
    "+@",
    "+@all",
    "-@all",
    "+@ALL -get",
    "allcommands",
    "nocommands",
    "ALLCOMMANDS -get",
    "+allcommands",
    "@read",
    "+@all -@all +@all",
    "-@all -@read",
    "+@all -@hash -@slow +hget",
    "+@all -@hash -@slow +hget ! -@hash ! +@hash",
    "+@hash +@slow +@set +@set +@slow +@hash",
    "+hget -hset +hset -hget",
    "+client|list +client|list +config|get +config +acl|list -acl",
    "+select|0 +select|0 +debug|object +debug",
    "+config +config|get -config|set +config",
    "+config|get",
    "-config|get",
    "+CONFIG|GET",
    "+config|get|x",
    "+config|nope",
    "-config|nope",
    "+config|",
    "+|x",
    "+nope|x",
    "+select|0",
    "+select|0 +select|1",
    "+SELECT|A +select|a",
    "-select|0",
    "+get|x|y",
    "+select|",
    "+@all +select|0",
    "+select +select|0",
    "+select|0 +select",
    "+select|0 -select",
    "+select|0 +@all",
    "+select|0 -@all",
    "+select|0 -@connection",
    "+select|0 +@connection",
    "+config -config|get +config|get",
    "+config|get +@admin -config|set",
    "+memory|usage -memory",
    "+@read +@write -@read",
    "+@all -client +client|id +client|setname",
    "(+get ~a)",
    "(+get",
    "+get)",
    "()",
    "( )",
    "( +get )",
    "(+get  ~a)",
    "(+get ~a) (+get ~a)",
    "(+get ~a) (+set ~b db=1) clearselectors (+del)",
    "(on)",
    "(>a)",
    "(nopass)",
    "(reset)",
    "(+nope)",
    "(+get)(+set)",
    "(+get (+set))",
    "(~a b)",
    "(~* ~a)",
    "(~a %R~a)",
    "(&a db=1,2 allkeys)",
    "(+get) x",
    "((+get))",
    "() ()",
    ")",
    "(",
    "reset",
    "on >a ~a &a +get db=1 (+set) reset",
    "on ~a +get nope",
    "nope",
    "+get ! -get nope",
    "~\\xff",
    "~\"a\"",
];

#[test]
fn rules_make_the_users_that_they_make_on_valkey() {
    let mut pair = Pair::start(&[], 1);
    for protocol in ["2", "3"] {
        pair.clients[0]
            .iter_mut()
            .for_each(|client| drop(client.run(&format!("HELLO {protocol}"))));
        for default in ["resetchannels", "allchannels"] {
            pair.run(0, &format!("CONFIG SET acl-pubsub-default {default}"));
            for rules in RULES {
                pair.run(0, "ACL DELUSER u");
                for call in rules.split('!').map(str::trim) {
                    pair.run(0, &format!("ACL SETUSER u {call}"));
                }
                pair.run(0, "ACL GETUSER u");
                pair.run(0, "ACL LIST");
            }
        }
    }
}

#[test]
fn words_with_spaces_and_zeros_are_refused_where_a_line_could_not_hold_them() {
    let mut pair = Pair::start(&[], 1);
    for name in ["a b", "a\0b", "a\tb", "a\nb", "", "a\"b", "\u{1}", "("] {
        pair.same(0, &["ACL", "SETUSER", name, "on"]);
        pair.run_unordered(0, "ACL USERS");
    }
    for rule in [
        "~a b",
        "~a\0b",
        "&a b",
        "&\0",
        "%R~a b",
        "~a\tb",
        "~a\nb",
        ">a b",
        "+get x",
        "db= 1",
        "db=1 2",
        "on ",
        " on",
        "(~a\tb)",
        "(+get\n~b)",
    ] {
        pair.same(0, &["ACL", "SETUSER", "u", "reset"]);
        pair.same(0, &["ACL", "SETUSER", "u", rule]);
        pair.same(0, &["ACL", "GETUSER", "u"]);
    }
}

/// Valkey ends with these.
#[test]
fn first_arguments_that_a_line_could_not_hold_are_refused() {
    let server = super::Server::start(&[]);
    let mut client = server.connect();
    for rule in ["+select|a b", "+select|a\0b", "+select|a\nb", "(\"+select|a b\")"] {
        let reply = client.command(&["ACL", "SETUSER", "u", rule]);
        assert!(reply.error().ends_with(": Syntax error"), "{rule:?}: {reply}");
    }
    assert_eq!(client.run("ACL USERS").elements().len(), 1);
}

#[test]
fn subcommands_answer_as_valkeys() {
    let mut pair = Pair::start(&[], 1);
    for line in [
        "ACL",
        "ACL NOPE",
        "ACL HELP",
        "ACL HELP x",
        "ACL CAT",
        "ACL CAT nope",
        "ACL CAT a b",
        "ACL WHOAMI",
        "ACL WHOAMI x",
        "ACL USERS",
        "ACL USERS x",
        "ACL LIST x",
        "ACL SETUSER",
        "ACL GETUSER",
        "ACL GETUSER nobody",
        "ACL GETUSER a b",
        "ACL DELUSER",
        "ACL DELUSER nobody",
        "ACL DELUSER default",
        "ACL SETUSER a",
        "ACL SETUSER b",
        "ACL DELUSER a default",
        "ACL USERS",
        "ACL DELUSER a b a c",
        "ACL GENPASS x",
        "ACL GENPASS 0",
        "ACL GENPASS -1",
        "ACL GENPASS 4097",
        "ACL GENPASS 1 2",
        "ACL LOG x",
        "ACL LOG -1",
        "ACL LOG 0",
        "ACL LOG 1 2",
        "ACL LOG RESET",
        "ACL LOAD",
        "ACL SAVE",
        "ACL LOAD x",
        "ACL DRYRUN",
        "ACL DRYRUN default",
        "ACL DRYRUN nobody get x",
        "ACL DRYRUN default nope",
        "ACL DRYRUN default get",
        "ACL DRYRUN default GeT x",
        "ACL DRYRUN default config",
        "ACL DRYRUN default config nope",
        "ACL DRYRUN default config get",
        "COMMAND LIST FILTERBY ACLCAT nope",
    ] {
        pair.run(0, line);
    }
    for (bits, digits) in [("", 64), (" 1", 1), (" 5", 2), (" 4096", 1024)] {
        let [ours, theirs] = pair.clients[0]
            .each_mut()
            .map(|client| client.run(&format!("ACL GENPASS{bits}")).text().len());
        assert_eq!((ours, theirs), (digits, digits));
    }
}

/// The commands of each category, of those that this server has.
#[test]
fn categories_have_the_commands_that_they_have_on_valkey() {
    let mut pair = Pair::start(&[], 1);
    let [ours, theirs] = &mut pair.clients[0];
    let names = |client: &mut super::Client, line: &str| -> Vec<String> {
        let mut names: Vec<String> =
            client.run(line).elements().iter().map(super::Value::text).collect();
        names.sort();
        names
    };
    let known = names(ours, "COMMAND LIST");
    for category in names(ours, "ACL CAT") {
        let line = format!("ACL CAT {category}");
        let expected: Vec<String> =
            names(theirs, &line).into_iter().filter(|name| known.contains(name)).collect();
        assert_eq!(names(ours, &line), expected, "{category}");
    }
}
