//! `help`: about the server's commands, and about this tool.

use super::catalog::{Catalog, Command};

/// Sequences that set the attributes of text on a terminal.
pub struct Colours {
    name: &'static str,
    synopsis: &'static str,
    title: &'static str,
    end: &'static str,
}

impl Colours {
    pub fn new(terminal: bool) -> Colours {
        match terminal {
            true => {
                Colours { name: "\x1b[1m", synopsis: "\x1b[90m", title: "\x1b[33m", end: "\x1b[0m" }
            }
            false => Colours { name: "", synopsis: "", title: "", end: "" },
        }
    }
}

/// The text about a command, a command's subcommands, or an `@group`; without a topic, about `help`.
pub fn about(topic: &str, catalog: &Catalog, colours: &Colours) -> String {
    if topic.is_empty() {
        return general();
    }
    let group = topic.strip_prefix('@').map(str::to_lowercase);
    let upper = topic.to_ascii_uppercase();
    let inside = format!("{upper} ");
    let commands = catalog.commands().iter().filter(|command| match &group {
        Some(group) => command.group == *group,
        None => command.name == upper || command.name.starts_with(&inside),
    });
    let texts: Vec<String> =
        commands.map(|command| about_command(command, group.is_none(), colours)).collect();
    if texts.is_empty() {
        return format!("There is no help about '{topic}'.\n");
    }
    format!("\n{}\n", texts.join("\n"))
}

/// The synopsis of a command, and its summary.
fn about_command(command: &Command, with_group: bool, colours: &Colours) -> String {
    let Colours { name, synopsis, title, end } = colours;
    let mut lines = vec![format!("{name}{}{end}", command.name)];
    let arguments = command.synopsis();
    if !arguments.is_empty() {
        lines[0].push_str(&format!(" {synopsis}{arguments}{end}"));
    }
    lines.push(format!("{title}summary:{end} {}", command.summary));
    lines.push(format!("{title}since:{end} {}", command.since));
    if with_group {
        lines.push(format!("{title}group:{end} {}", command.group));
    }
    lines.into_iter().map(|line| format!("  {line}\n")).collect()
}

fn general() -> String {
    format!(
        "verbena-cli {}
To get help about the server's commands type:
      \"help @<group>\" to get a list of commands in <group>
      \"help <command>\" for help on <command>
      \"help <tab>\" to get a list of possible help topics
      \"quit\" to exit

To connect to another server type \"connect <host> <port>\".
To run a command several times, write the number before it: \"5 incr counter\".

To set verbena-cli preferences:
      \":set hints\" enable online hints
      \":set nohints\" disable online hints
Set your preferences in ~/.verbenaclirc
",
        env!("CARGO_PKG_VERSION")
    )
}
