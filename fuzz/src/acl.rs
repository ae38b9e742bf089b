//! Users: ACL files, and the rules of ACL SETUSER.

use verbena::acl::{Commands, Declaration, Rules, User, join_selectors, parse_file};
use verbena::command;

/// Any bytes are a file of users or an error, and any words are rules or errors. The users that they make are
/// made again by the lines that describe them.
pub fn check(data: &[u8]) {
    let commands = command::table().for_rules();
    let rules =
        Rules { commands: &commands, all_channels: data.first().is_some_and(|b| b % 2 == 0) };
    if let Ok(users) = parse_file("file", data, rules) {
        users.iter().for_each(|user| check_line(user, &commands));
    }
    let words: Vec<&[u8]> = data.split(|byte| *byte == 0xff).collect();
    let (name, words) = words.split_first().expect("there is always a first part");
    let declaration = Declaration {
        name: name.to_vec(),
        rules: words.iter().map(|word| word.to_vec()).collect(),
    };
    let is_fine = declaration.check().is_ok();
    if let Ok(user) = declaration.user(rules) {
        assert!(is_fine, "a user is made of rules that were refused");
        check_line(&user, &commands);
    }
    let mut user = User::new(b"user", rules);
    for rule in join_selectors(words.iter().copied()).unwrap_or_default() {
        let before = user.line();
        if user.apply(&rule, rules).is_err() {
            assert!(user.line() == before, "a rule that is refused changes something");
        }
    }
    check_line(&user, &commands);
}

fn check_line(user: &User, commands: &Commands) {
    // Users that may use all channels say so; the others must not be given them.
    let rules = Rules { commands, all_channels: false };
    let again = parse_file("file", &user.line(), rules);
    let again = again.unwrap_or_else(|error| panic!("{}", error.escape_ascii()));
    assert!(again.len() == 1 && again[0].line() == user.line(), "a user changes by its line");
}
