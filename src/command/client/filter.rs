//! Which clients CLIENT LIST shows and CLIENT KILL ends.

use crate::command::{CommandError, Cx, Result};
use crate::number::parse_i64;
use crate::resp::Args;
use crate::state::{ClientRecord, OutboxClass};
use verbena_transport::Endpoint;

/// The letters of `flags` that Valkey knows, of states that this server does not have included.
const FLAGS: &[u8] = b"bcdeirtuxABEIMNOPRSTU";

/// What CLIENT LIST and CLIENT KILL call the type of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientType {
    Normal,
    Primary,
    Replica,
    PubSub,
}

/// One thing that is asked of a client.
enum Condition {
    Ids(Vec<u64>),
    Addr(Vec<u8>),
    Laddr(Vec<u8>),
    Ip(Vec<u8>),
    User(Vec<u8>),
    Type(ClientType),
    Flags(Vec<u8>),
    Name(Vec<u8>),
    LibName(Vec<u8>),
    LibVersion(Vec<u8>),
    Db(u64),
    Capabilities(Vec<u8>),
}

/// The options of one call. An option that is given twice counts as it was given last, but ids add up.
#[derive(Default)]
pub struct Filter {
    /// Conditions with the name of their option, without its `not-`, and whether they must not hold.
    conditions: Vec<(&'static str, bool, Condition)>,
    /// Seconds.
    min_age: i64,
    /// Seconds.
    min_idle: i64,
    pub skip_me: Option<bool>,
}

impl Filter {
    /// The clients that the old form of CLIENT KILL means.
    pub fn address(addr: &[u8]) -> Self {
        let conditions = vec![("addr", false, Condition::Addr(addr.to_vec()))];
        Filter { conditions, ..Filter::default() }
    }

    /// Reads the options from argument 2 on.
    pub fn parse(cx: &Cx<'_>, args: Args<'_>) -> Result<Filter> {
        let mut filter = Filter::default();
        let mut i = 2;
        while i < args.len() {
            let option = args.at(i).to_ascii_lowercase();
            let (option, negative) = match option.strip_prefix(b"not-") {
                Some(option) => (option, true),
                None => (&option[..], false),
            };
            i += 1;
            if option == b"id" && args.len() > 3 {
                let first = i;
                while let Some(id) = args.get(i).and_then(parse_i64) {
                    if id < 1 {
                        return Err("ERR client-id should be greater than 0".into());
                    }
                    filter.add_id(negative, id as u64);
                    i += 1;
                }
                if i == first {
                    filter.add_ids(negative);
                }
                continue;
            }
            let value = args.get(i).ok_or(CommandError::SYNTAX)?;
            filter.option(cx, option, negative, value)?;
            i += 1;
        }
        Ok(filter)
    }

    fn option(&mut self, cx: &Cx<'_>, name: &[u8], negative: bool, value: &[u8]) -> Result {
        let bytes = || value.to_vec();
        let (name, condition) = match name {
            b"addr" => ("addr", Condition::Addr(bytes())),
            b"laddr" => ("laddr", Condition::Laddr(bytes())),
            b"ip" => ("ip", Condition::Ip(bytes())),
            b"name" => ("name", Condition::Name(bytes())),
            b"lib-name" => ("lib-name", Condition::LibName(bytes())),
            b"lib-ver" => ("lib-ver", Condition::LibVersion(bytes())),
            b"type" => ("type", Condition::Type(client_type(value)?)),
            b"user" if cx.server.acl.get(value).is_some() => ("user", Condition::User(bytes())),
            b"user" => return Err(CommandError::quoting("ERR No such user '", value, "'")),
            b"flags" => {
                let known = value.iter().all(|flag| FLAGS.contains(flag));
                known.then_some(()).ok_or_else(|| unknown("flags", "FLAGS", negative, value))?;
                ("flags", Condition::Flags(bytes()))
            }
            b"capa" => {
                let known = value.iter().all(|&capability| capability == b'r');
                known.then_some(()).ok_or_else(|| unknown("capa", "CAPA", negative, value))?;
                ("capa", Condition::Capabilities(bytes()))
            }
            b"db" => ("db", Condition::Db(database(cx, negative, value)?)),
            b"maxage" if !negative => {
                self.min_age = seconds("maxage", value)?;
                return Ok(());
            }
            b"idle" if !negative => {
                self.min_idle = seconds("idle", value)?;
                return Ok(());
            }
            b"skipme" if !negative => {
                self.skip_me = Some(match value {
                    yes if yes.eq_ignore_ascii_case(b"yes") => true,
                    no if no.eq_ignore_ascii_case(b"no") => false,
                    _ => return Err(CommandError::SYNTAX),
                });
                return Ok(());
            }
            _ => return Err(CommandError::SYNTAX),
        };
        self.conditions.retain(|(other, sign, _)| (*other, *sign) != (name, negative));
        self.conditions.push((name, negative, condition));
        Ok(())
    }

    fn add_id(&mut self, negative: bool, id: u64) {
        self.add_ids(negative).push(id);
    }

    /// The ids so far. Once there is a list, no client outside it is meant, even if it is empty.
    fn add_ids(&mut self, negative: bool) -> &mut Vec<u64> {
        let is_ids = |(_, sign, condition): &(_, bool, Condition)| {
            *sign == negative && matches!(condition, Condition::Ids(_))
        };
        let index = self.conditions.iter().position(is_ids).unwrap_or_else(|| {
            self.conditions.push(("id", negative, Condition::Ids(Vec::new())));
            self.conditions.len() - 1
        });
        match &mut self.conditions[index].2 {
            Condition::Ids(ids) => ids,
            _ => unreachable!("the position is that of ids"),
        }
    }

    /// Whether the filter lets this client through, `skip_me` aside.
    pub fn matches(&self, record: &ClientRecord, now: i64) -> bool {
        record.age(now) >= self.min_age
            && record.idle(now) >= self.min_idle
            && self.conditions.iter().all(|(_, not, condition)| condition.holds(record) != *not)
    }
}

impl Condition {
    fn holds(&self, record: &ClientRecord) -> bool {
        let all_in = |letters: &[u8], of: &str| letters.iter().all(|l| of.as_bytes().contains(l));
        // Who has no name does not even match an empty one.
        let is = |label: &str, wanted: &[u8]| !label.is_empty() && label.as_bytes() == wanted;
        match self {
            Condition::Ids(ids) => ids.contains(&record.id),
            Condition::Addr(addr) => record.info.peer.to_string().as_bytes() == addr,
            Condition::Laddr(addr) => record.info.local.to_string().as_bytes() == addr,
            Condition::Ip(ip) => match &record.info.peer {
                Endpoint::Ip(addr) => addr.ip().to_string().as_bytes() == ip,
                Endpoint::Path(_) => false,
            },
            Condition::User(name) => record.is_user(name),
            Condition::Type(client_type) => {
                let class = match record.class() {
                    OutboxClass::Normal => ClientType::Normal,
                    OutboxClass::Replica => ClientType::Replica,
                    OutboxClass::Pubsub => ClientType::PubSub,
                };
                *client_type == class
            }
            Condition::Flags(flags) => all_in(flags, &record.attributes().letters()),
            Condition::Name(name) => is(&record.labels.lock().name, name),
            Condition::LibName(name) => is(&record.labels.lock().lib_name, name),
            Condition::LibVersion(version) => is(&record.labels.lock().lib_version, version),
            Condition::Db(db) => record.db.get() == *db,
            Condition::Capabilities(capabilities) => {
                all_in(capabilities, record.attributes().capabilities())
            }
        }
    }
}

fn unknown(what: &str, option: &str, negative: bool, value: &[u8]) -> CommandError {
    let filter = if negative { format!("NOT-{option}") } else { "provided".into() };
    CommandError::quoting(&format!("ERR Unknown {what} found in the {filter} filter: "), value, "")
}

fn client_type(name: &[u8]) -> Result<ClientType> {
    match &*name.to_ascii_lowercase() {
        b"normal" => Ok(ClientType::Normal),
        b"primary" | b"master" => Ok(ClientType::Primary),
        b"replica" | b"slave" => Ok(ClientType::Replica),
        b"pubsub" => Ok(ClientType::PubSub),
        _ => Err(CommandError::quoting("ERR Unknown client type '", name, "'")),
    }
}

fn database(cx: &Cx<'_>, negative: bool, value: &[u8]) -> Result<u64> {
    let option = if negative { "NOT-DB" } else { "DB" };
    let index = parse_i64(value)
        .and_then(|index| i32::try_from(index).ok())
        .ok_or_else(|| format!("ERR {option} is not an integer or out of range"))?;
    let last = cx.server.keyspace.databases() as i64 - 1;
    if !(0..=last).contains(&i64::from(index)) {
        return Err(format!("ERR {option} number should be between 0 and {last}").into());
    }
    Ok(index as u64)
}

fn seconds(option: &str, value: &[u8]) -> Result<i64> {
    match parse_i64(value) {
        None => Err(format!("ERR {option} is not an integer or out of range").into()),
        Some(seconds) if seconds < 1 => {
            Err(format!("ERR {option} should be greater than 0").into())
        }
        Some(seconds) => Ok(seconds),
    }
}
