//! CLIENT TRACKING and what belongs to it: a client is told when keys change that it may have cached.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::on_or_off;
use crate::command::{Caller, CommandError, Cx, Flags, Origin, Registered, Result};
use crate::keyspace::{Entered, Key, Listeners, SHARDS, Tracker, Unit, shard_of};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::state::{ClientRecord, Server, TrackingTarget};

/// Which keys are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// Those that the client reads.
    #[default]
    All,
    /// Those that it reads with the command after CLIENT CACHING YES.
    OptIn,
    /// Those that it reads, but not with the command after CLIENT CACHING NO.
    OptOut,
    /// All keys with certain prefixes, whoever reads them.
    Broadcast,
}

/// A client's tracking. It stays when tracking is turned off: keys that were read before count again when
/// it is turned on.
pub struct ClientTracking {
    tracker: Arc<Tracker>,
    mode: Mode,
    /// The next command's keys are tracked (OPTIN), or are not (OPTOUT).
    caching: bool,
    /// In ascending order.
    prefixes: Vec<Box<[u8]>>,
}

impl ClientTracking {
    fn new(client: &Arc<ClientRecord>) -> Box<ClientTracking> {
        Box::new(ClientTracking {
            tracker: TrackingTarget::tracker(client),
            mode: Mode::default(),
            caching: false,
            prefixes: Vec::new(),
        })
    }

    /// Whether tracking is on.
    pub fn is_on(&self) -> bool {
        self.tracker.is_active()
    }

    /// Whether it is on, and for prefixes.
    pub fn broadcasts(&self) -> bool {
        self.is_on() && self.mode == Mode::Broadcast
    }

    /// Whether the client that was to be told in its place is gone.
    pub fn is_broken(&self) -> bool {
        self.is_on() && self.target().broken.load(Ordering::Relaxed)
    }

    /// The id of the client that is told in its place; 0 for none, -1 where tracking is off.
    pub fn redirect(&self) -> i64 {
        if self.is_on() { self.target().redirect.load(Ordering::Relaxed) as i64 } else { -1 }
    }

    /// Bytes of memory that the prefixes take, here and where they are looked for.
    pub fn memory(&self) -> usize {
        let texts: usize = self.prefixes.iter().map(|prefix| prefix.len()).sum();
        size_of::<ClientTracking>() + 2 * (texts + self.prefixes.len() * size_of::<Box<[u8]>>())
    }

    fn target(&self) -> &TrackingTarget {
        TrackingTarget::of(&self.tracker)
    }

    /// Ends it. Shards may go on noting all changes: see [`stop_broadcasts`].
    fn end(&mut self, server: &Server) {
        if self.is_on() {
            server.tracking.end(&self.tracker, self.prefixes.iter().map(|prefix| &**prefix));
        }
        self.prefixes.clear();
        self.caching = false;
        self.mode = Mode::default();
    }
}

/// Ends a client's tracking.
pub fn leave(caller: &mut Caller, server: &Server) {
    if let Some(tracking) = &mut caller.tracking {
        tracking.end(server);
    }
}

/// After a client is gone that has tracked keys: has the shards no longer note all changes if nobody is to
/// be told of them. The thread must hold no shard.
pub fn stop_broadcasts(server: &Server, entered: &Entered<'_>) {
    server.tracking.switch_broadcasts(false, |on| {
        for shard in 0..SHARDS {
            let mut unit = entered.unit(&[], 0, Listeners::NONE);
            unit.broadcast_changes(shard, on);
        }
    });
}

/// After a command of a client that tracks keys: notes those that it has read.
#[cold]
pub fn note_reads(
    server: &Server,
    max_keys: u64,
    unit: &mut Unit<'_>,
    caller: &mut Caller,
    found: &Registered,
    keys: &[Key<'_>],
) {
    let Some(tracking) = caller.tracking.as_deref_mut().filter(|tracking| tracking.is_on()) else {
        return;
    };
    let reads = match tracking.mode {
        Mode::All => true,
        Mode::OptIn => tracking.caching,
        Mode::OptOut => !tracking.caching,
        Mode::Broadcast => false,
    };
    if reads && found.command.flags.contains(Flags::READONLY) {
        for key in keys {
            unit.track(key, &tracking.tracker);
            // The layer above bounds how many keys are remembered: another of the shard's is forgotten.
            while server.keyspace.tracked.keys() as u64 > max_keys && max_keys > 0 {
                if !unit.evict_tracked(shard_of(key.slot)) {
                    break;
                }
            }
        }
    }
    // CLIENT CACHING is for the next command, or the next transaction.
    let nested = caller.origin == Origin::Exec || caller.transaction.is_queueing();
    if !nested && !found.full_name.starts_with("client|") {
        tracking.caching = false;
    }
}

/// After the limit has changed: forgets as many tracked keys as there are too many.
pub fn forget_surplus(cx: &mut Cx<'_>) {
    let limit = cx.server.config.load().tracking_table_max_keys;
    let tracked = &cx.server.keyspace.tracked;
    let is_surplus = || limit > 0 && tracked.keys() as u64 > limit;
    let mut shards = 0..SHARDS;
    while is_surplus()
        && let Some(shard) = shards.next()
    {
        while is_surplus() && cx.unit.evict_tracked(shard) {}
    }
}

/// The options of CLIENT TRACKING.
#[derive(Default)]
struct Options {
    redirect: Option<u64>,
    prefixes: Vec<Box<[u8]>>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    noloop: bool,
}

impl Options {
    fn parse(cx: &Cx<'_>, args: Args<'_>) -> Result<Options> {
        let mut options = Options::default();
        let mut words = args.iter().skip(3);
        while let Some(word) = words.next() {
            match &*word.to_ascii_lowercase() {
                b"redirect" if words.len() > 0 => {
                    if options.redirect.is_some() {
                        return Err(
                            "ERR A client can only redirect to a single other client".into()
                        );
                    }
                    let id = words.next().and_then(parse_i64).ok_or(CommandError::NOT_INTEGER)?;
                    let id =
                        u64::try_from(id).ok().filter(|id| cx.server.clients.get(*id).is_some());
                    options.redirect = Some(id.ok_or(CommandError::of(
                        "ERR The client ID you want redirect to does not exist",
                    ))?);
                }
                b"prefix" if words.len() > 0 => {
                    options.prefixes.extend(words.next().map(Box::from));
                }
                b"bcast" => options.broadcast = true,
                b"optin" => options.opt_in = true,
                b"optout" => options.opt_out = true,
                b"noloop" => options.noloop = true,
                _ => return Err(CommandError::SYNTAX),
            }
        }
        Ok(options)
    }

    fn mode(&self) -> Mode {
        match (self.broadcast, self.opt_in, self.opt_out) {
            (true, ..) => Mode::Broadcast,
            (_, true, _) => Mode::OptIn,
            (_, _, true) => Mode::OptOut,
            _ => Mode::All,
        }
    }

    /// Refuses what does not fit together, or not to the mode in which the client tracks already.
    fn check(&self, current: Option<&ClientTracking>) -> Result {
        if !self.prefixes.is_empty() && !self.broadcast {
            return Err("ERR PREFIX option requires BCAST mode to be enabled".into());
        }
        let on = current.filter(|tracking| tracking.is_on());
        if on.is_some_and(|current| (current.mode == Mode::Broadcast) != self.broadcast) {
            return Err("ERR You can't switch BCAST mode on/off before disabling tracking for \
                            this client, and then re-enabling it with a different mode."
                .into());
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err("ERR OPTIN and OPTOUT are not compatible with BCAST".into());
        }
        if self.opt_in && self.opt_out {
            return Err("ERR You can't specify both OPTIN mode and OPTOUT mode".into());
        }
        if let Some(current) = current.filter(|tracking| tracking.is_on())
            && (self.opt_in && current.mode == Mode::OptOut
                || self.opt_out && current.mode == Mode::OptIn)
        {
            return Err(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this \
                        client, and then re-enabling it with a different mode."
                    .into(),
            );
        }
        self.check_prefixes(current)
    }

    /// Refuses prefixes of which one is the beginning of another.
    fn check_prefixes(&self, current: Option<&ClientTracking>) -> Result {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let known = current.map_or(&[][..], |tracking| &tracking.prefixes);
        for (i, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = known.iter().find(|other| overlap(prefix, other)) {
                return Err(overlapping(prefix, "an existing prefix", other));
            }
            if let Some(other) = self.prefixes[i + 1..].iter().find(|other| overlap(prefix, other))
            {
                return Err(overlapping(prefix, "another provided prefix", other));
            }
        }
        Ok(())
    }
}

fn overlapping(prefix: &[u8], what: &str, other: &[u8]) -> CommandError {
    let text = [
        b"ERR Prefix '",
        prefix,
        format!("' overlaps with {what} '").as_bytes(),
        other,
        b"'. Prefixes for a single client must not overlap.",
    ]
    .concat();
    text.into()
}

pub fn tracking(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let options = Options::parse(cx, args)?;
    if on_or_off(args.at(2))? {
        options.check(cx.caller.tracking.as_deref())?;
        begin(cx, options);
    } else {
        leave(cx.caller, cx.server);
        switch_broadcasts(cx, false);
    }
    cx.caller.publish();
    out.ok();
    Ok(())
}

fn begin(cx: &mut Cx<'_>, options: Options) {
    let (server, caller) = (cx.server, &mut *cx.caller);
    let tracking = caller.tracking.get_or_insert_with(|| ClientTracking::new(&caller.record));
    let mode = options.mode();
    tracking.mode = mode;
    let target = tracking.target();
    target.noloop.store(options.noloop, Ordering::Relaxed);
    target.broken.store(false, Ordering::Relaxed);
    target.redirect.store(options.redirect.unwrap_or(0), Ordering::Relaxed);
    let mut prefixes = options.prefixes;
    if mode == Mode::Broadcast && prefixes.is_empty() {
        prefixes.push(Box::default());
    }
    prefixes.retain(|prefix| !tracking.prefixes.contains(prefix));
    for prefix in prefixes {
        server.tracking.add_prefix(&prefix, &tracking.tracker);
        tracking.prefixes.push(prefix);
    }
    tracking.prefixes.sort_unstable();
    server.tracking.begin(&tracking.tracker, mode != Mode::Broadcast);
    if mode == Mode::Broadcast {
        switch_broadcasts(cx, true);
    }
}

/// Has all shards note all changes, or none if nobody is to be told of them any more.
fn switch_broadcasts(cx: &mut Cx<'_>, on: bool) {
    let (server, unit) = (cx.server, &mut *cx.unit);
    server.tracking.switch_broadcasts(on, |on| {
        (0..SHARDS).for_each(|shard| unit.broadcast_changes(shard, on));
    });
}

pub fn caching(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let tracking = cx.caller.tracking.as_deref_mut().filter(|tracking| tracking.is_on());
    let Some(tracking) = tracking else {
        return Err(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with \
                    OPTIN or OPTOUT mode enabled"
                .into(),
        );
    };
    match &*args.at(2).to_ascii_lowercase() {
        b"yes" if tracking.mode == Mode::OptIn => {}
        b"yes" => {
            return Err(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."
                    .into(),
            );
        }
        b"no" if tracking.mode == Mode::OptOut => {}
        b"no" => {
            return Err(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."
                    .into(),
            );
        }
        _ => return Err(CommandError::SYNTAX),
    }
    tracking.caching = true;
    out.ok();
    Ok(())
}

pub fn getredir(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    out.integer(cx.caller.tracking.as_deref().map_or(-1, ClientTracking::redirect));
    Ok(())
}

pub fn trackinginfo(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let tracking = cx.caller.tracking.as_deref().filter(|tracking| tracking.is_on());
    out.map(3);
    out.bulk(b"flags");
    let flags = tracking.map_or(vec!["off"], flags);
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"redirect");
    out.integer(tracking.map_or(-1, ClientTracking::redirect));
    out.bulk(b"prefixes");
    let prefixes = tracking.map_or(&[][..], |tracking| &tracking.prefixes);
    out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| out.bulk(prefix));
    Ok(())
}

fn flags(tracking: &ClientTracking) -> Vec<&'static str> {
    let mut flags = vec!["on"];
    flags.extend(match tracking.mode {
        Mode::All => None,
        Mode::OptIn => Some("optin"),
        Mode::OptOut => Some("optout"),
        Mode::Broadcast => Some("bcast"),
    });
    if tracking.caching {
        flags.push(if tracking.mode == Mode::OptIn { "caching-yes" } else { "caching-no" });
    }
    if tracking.target().noloop.load(Ordering::Relaxed) {
        flags.push("noloop");
    }
    if tracking.is_broken() {
        flags.push("broken_redirect");
    }
    flags
}
