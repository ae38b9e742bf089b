//! Parameters that are one of several words, and those that are several words.

use std::borrow::Cow;

use super::parameter::{Field, Kind, Refusal, Source, format_memory, parse_memory, utf8};

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($variant),* }

        impl $name {
            /// The word in the configuration.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl Field for $name {
            fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
                let all = [$($name::$variant),*];
                let found = all.iter().find(|choice| words[0].eq_ignore_ascii_case(choice.name().as_bytes()));
                *self = *found.ok_or_else(|| one_of(&[$($word),*]))?;
                Ok(())
            }

            fn format(&self, _: Kind) -> Vec<u8> {
                self.name().into()
            }
        }
    )*};
}

impl MaxmemoryPolicy {
    /// True if only entries that have an expiry are evicted.
    pub fn is_volatile(self) -> bool {
        use MaxmemoryPolicy::{VolatileLfu, VolatileLru, VolatileRandom, VolatileTtl};
        matches!(self, VolatileLru | VolatileLfu | VolatileRandom | VolatileTtl)
    }

    /// True if entries remember how often they are used, and not when they were last.
    #[inline]
    pub fn is_lfu(self) -> bool {
        matches!(self, MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu)
    }
}

fn one_of(words: &[&str]) -> Refusal {
    format!("argument(s) must be one of the following: {}", words.join(", ")).into()
}

choices! {
    /// `acl-pubsub-default`: the channels of a new user.
    PubsubDefault { All = "allchannels", None = "resetchannels" }
    /// `appendfsync`
    AppendFsync { EverySecond = "everysec", Always = "always", No = "no" }
    /// `cluster-config-save-behavior`
    ClusterConfigSave { Sync = "sync", BestEffort = "best-effort" }
    /// `cluster-preferred-endpoint-type`
    EndpointType { Ip = "ip", Hostname = "hostname", Unknown = "unknown-endpoint" }
    /// Who may use a privilege.
    Privilege { No = "no", Yes = "yes", Local = "local" }
    /// `log-format`
    LogFormat { Legacy = "legacy", Logfmt = "logfmt", Json = "json" }
    /// `log-timestamp-format`
    LogTimestamp { Legacy = "legacy", Iso8601 = "iso8601", Milliseconds = "milliseconds" }
    /// `maxmemory-policy`
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random",
        NoEviction = "noeviction",
    }
    /// `oom-score-adj`
    OomScoreAdj { No = "no", Yes = "yes", Relative = "relative", Absolute = "absolute" }
    /// `propagation-error-behavior`
    PropagationError { Ignore = "ignore", Panic = "panic", PanicOnReplicas = "panic-on-replicas" }
    /// `rdb-version-check`
    RdbVersionCheck { Strict = "strict", Relaxed = "relaxed" }
    /// `repl-diskless-load`
    DisklessLoad {
        Disabled = "disabled",
        OnEmptyDb = "on-empty-db",
        Swapdb = "swapdb",
        FlushBeforeLoad = "flush-before-load",
    }
    /// `supervised`
    Supervised { Upstart = "upstart", Systemd = "systemd", Auto = "auto", No = "no" }
    /// `syslog-facility`
    SyslogFacility {
        User = "user",
        Local0 = "local0",
        Local1 = "local1",
        Local2 = "local2",
        Local3 = "local3",
        Local4 = "local4",
        Local5 = "local5",
        Local6 = "local6",
        Local7 = "local7",
    }
    /// `tls-auth-clients`
    TlsAuthClients { No = "no", Yes = "yes", Optional = "optional" }
    /// `tls-auth-clients-user`
    TlsAuthClientsUser { Cn = "CN", Uri = "URI", Off = "off" }
}

choices! {
    /// `loglevel`: what is logged, this and everything graver.
    LogLevel {
        Debug = "debug",
        Verbose = "verbose",
        Notice = "notice",
        Warning = "warning",
        Nothing = "nothing",
    }
}

/// Addresses to listen on. One that begins with `-` may be unavailable.
pub type Addresses = Vec<String>;

/// Addresses in one line each; more than this are refused.
const MAX_ADDRESSES: usize = 16;

impl Field for Addresses {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        if words.len() > MAX_ADDRESSES {
            return Err("Too many bind addresses specified.".into());
        }
        let words = words.iter().filter(|word| !word.is_empty());
        *self = words.map(|word| utf8(word).map(str::to_owned)).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        self.join(" ").into()
    }

    fn directives(&self, kind: Kind) -> Vec<Vec<u8>> {
        vec![if self.is_empty() { b"\"\"".into() } else { self.format(kind) }]
    }
}

/// When a snapshot is due: so many changes within so many seconds, for each pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavePoints(pub Vec<(u64, u32)>);

impl Field for SavePoints {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, source: Source) -> Result<(), Refusal> {
        let invalid = || Cow::Borrowed("Invalid save parameters");
        let mut points = match source {
            Source::Directive { first: false } => std::mem::take(&mut self.0),
            _ => Vec::new(),
        };
        match words {
            [] => {}
            [word] if word.is_empty() => points.clear(),
            words if !words.len().is_multiple_of(2) => return Err(invalid()),
            words => {
                for pair in words.chunks(2) {
                    let number =
                        |word: &Vec<u8>| std::str::from_utf8(word).ok()?.parse::<i64>().ok();
                    let (seconds, changes) = (number(&pair[0]), number(&pair[1]));
                    let seconds = seconds.filter(|n| *n > 0).ok_or_else(invalid)?;
                    let changes = changes.and_then(|n| n.try_into().ok()).ok_or_else(invalid)?;
                    points.push((seconds as u64, changes));
                }
            }
        }
        self.0 = points;
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        let points = self.0.iter().map(|(seconds, changes)| format!("{seconds} {changes}"));
        points.collect::<Vec<_>>().join(" ").into()
    }

    fn directives(&self, kind: Kind) -> Vec<Vec<u8>> {
        vec![if self.0.is_empty() { b"\"\"".into() } else { self.format(kind) }]
    }
}

/// The limit of one class of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes; 0 is no limit.
    pub hard: u64,
    /// Bytes that may be exceeded for so many seconds.
    pub soft: u64,
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    fn default() -> Self {
        OutputLimits {
            normal: OutputLimit::default(),
            replica: OutputLimit { hard: 256 << 20, soft: 64 << 20, soft_seconds: 60 },
            pubsub: OutputLimit { hard: 32 << 20, soft: 8 << 20, soft_seconds: 60 },
        }
    }
}

impl OutputLimits {
    fn classes(&self) -> [(&'static str, OutputLimit); 3] {
        [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)]
    }
}

/// Classes that are not named keep their limits.
impl Field for OutputLimits {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        if let [word] = words
            && word.is_empty()
        {
            return Ok(());
        }
        if !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        let mut limits = self.clone();
        for class in words.chunks(4) {
            let limit = match class[0].to_ascii_lowercase().as_slice() {
                b"normal" => &mut limits.normal,
                b"slave" | b"replica" => &mut limits.replica,
                b"pubsub" => &mut limits.pubsub,
                _ => {
                    return Err(
                        "Invalid client class specified in buffer limit configuration.".into()
                    );
                }
            };
            let seconds = std::str::from_utf8(&class[3]).ok().and_then(|word| word.parse().ok());
            let (Some(hard), Some(soft), Some(soft_seconds)) =
                (parse_memory(&class[1]), parse_memory(&class[2]), seconds)
            else {
                return Err(
                    "Error in hard, soft or soft_seconds setting in buffer limit configuration."
                        .into(),
                );
            };
            *limit = OutputLimit { hard, soft, soft_seconds };
        }
        *self = limits;
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        let classes = self.classes().map(|(name, limit)| {
            format!("{name} {} {} {}", limit.hard, limit.soft, limit.soft_seconds)
        });
        classes.join(" ").into()
    }

    fn directives(&self, _: Kind) -> Vec<Vec<u8>> {
        let usual = OutputLimits::default().classes();
        let changed = self.classes().into_iter().zip(usual).filter(|(now, usual)| now != usual);
        changed
            .map(|((name, limit), _)| {
                let name = if name == "slave" { "replica" } else { name };
                let (hard, soft) = (format_memory(limit.hard), format_memory(limit.soft));
                format!("{name} {hard} {soft} {}", limit.soft_seconds).into()
            })
            .collect()
    }
}

/// `maxmemory-clients`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryOrPercent {
    Bytes(u64),
    /// Of `maxmemory`.
    Percent(u8),
}

impl Field for MemoryOrPercent {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        let wrong = || Cow::Borrowed("argument must be a memory or percent value");
        *self = match words[0].strip_suffix(b"%") {
            Some(digits) => {
                let percent: u64 = utf8(digits)?.parse().map_err(|_| wrong())?;
                match percent {
                    0 => MemoryOrPercent::Bytes(0),
                    1..=100 => MemoryOrPercent::Percent(percent as u8),
                    _ => return Err("percentage argument must be less or equal to 100".into()),
                }
            }
            None if words[0].is_empty() => MemoryOrPercent::Bytes(0),
            None => MemoryOrPercent::Bytes(parse_memory(&words[0]).ok_or_else(wrong)?),
        };
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        match self {
            MemoryOrPercent::Bytes(bytes) => bytes.to_string().into(),
            MemoryOrPercent::Percent(percent) => format!("{percent}%").into(),
        }
    }

    fn directives(&self, kind: Kind) -> Vec<Vec<u8>> {
        vec![match self {
            MemoryOrPercent::Bytes(bytes) => format_memory(*bytes).into(),
            MemoryOrPercent::Percent(_) => self.format(kind),
        }]
    }
}

/// `oom-score-adj-values`: for a primary, a replica and a background child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomScores(pub [i32; 3]);

impl Field for OomScores {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        let [a, b, c] = words else { return Err("wrong number of arguments".into()) };
        let mut scores = [0; 3];
        for (score, word) in scores.iter_mut().zip([a, b, c]) {
            *score = std::str::from_utf8(word)
                .ok()
                .and_then(|word| word.parse().ok())
                .filter(|score| (-2000..=2000).contains(score))
                .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
        }
        self.0 = scores;
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        self.0.map(|score| score.to_string()).join(" ").into()
    }
}

/// `latency-tracking-info-percentiles`
#[derive(Clone, Debug, PartialEq)]
pub struct Percentiles(pub Vec<f64>);

impl Percentiles {
    /// The percentiles, each with its text, which has at most six decimals, and no more than needed.
    pub fn texts(&self) -> impl Iterator<Item = (f64, String)> {
        self.0.iter().map(|percentile| {
            let text = format!("{percentile:.6}");
            (*percentile, text.trim_end_matches('0').trim_end_matches('.').to_owned())
        })
    }
}

impl Field for Percentiles {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        let mut percentiles = Vec::new();
        for word in words.iter().filter(|word| words.len() > 1 || !word.is_empty()) {
            let percentile: f64 = std::str::from_utf8(word)
                .ok()
                .and_then(|word| word.parse().ok())
                .filter(|number: &f64| !number.is_nan())
                .ok_or("Invalid latency-tracking-info-percentiles parameters")?;
            if !(0.0..=100.0).contains(&percentile) {
                return Err("latency-tracking-info-percentiles parameters should sit between \
                            [0.0,100.0]"
                    .into());
            }
            percentiles.push(percentile);
        }
        self.0 = percentiles;
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        self.texts().map(|(_, text)| text).collect::<Vec<_>>().join(" ").into()
    }

    fn directives(&self, kind: Kind) -> Vec<Vec<u8>> {
        vec![if self.0.is_empty() { b"\"\"".into() } else { self.format(kind) }]
    }
}

/// `notify-keyspace-events`: a set of event classes, one letter each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceEvents(pub u32);

impl KeyspaceEvents {
    /// The letters, in the order in which CONFIG GET prints them; bit i is letter i.
    const LETTERS: &[u8] = b"g$lshzxetdnKEm";
    /// The classes that `A` stands for.
    const ALL: u32 = (1 << 10) - 1;

    fn bit(letter: u8) -> u32 {
        let bit = Self::LETTERS.iter().position(|known| *known == letter);
        1 << bit.expect("the letter is one of a class")
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether events are announced in the channels of their keys.
    pub fn include_key_channels(self) -> bool {
        self.0 & Self::bit(b'K') != 0
    }

    /// Whether events are announced in the channels of their names.
    pub fn include_event_channels(self) -> bool {
        self.0 & Self::bit(b'E') != 0
    }

    /// Whether events of that name are announced: in the key's channel (`K`) or in the event's (`E`).
    #[cold]
    pub fn include(self, name: &str) -> bool {
        let announced = Self::bit(b'K') | Self::bit(b'E');
        self.0 & announced != 0 && self.0 & Self::bit(class(name)) != 0
    }
}

/// The letter of an event's class.
fn class(name: &str) -> u8 {
    match name {
        "set" | "setrange" | "append" | "incrby" | "incrbyfloat" | "setbit" | "pfadd" => b'$',
        "expired" => b'x',
        "evicted" => b'e',
        "new" => b'n',
        "keymiss" => b'm',
        "lpush" | "rpush" | "lpop" | "rpop" | "linsert" | "lset" | "lrem" | "ltrim"
        | "sortstore" => b'l',
        "sadd" | "srem" | "spop" | "sinterstore" | "sunionstore" | "sdiffstore" => b's',
        _ if name.starts_with('h') => b'h',
        _ if name.starts_with('z') || name.starts_with("geo") => b'z',
        _ if name.starts_with('x') => b't',
        _ => b'g',
    }
}

impl Field for KeyspaceEvents {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        let mut classes = 0;
        for &letter in &words[0] {
            classes |= match Self::LETTERS.iter().position(|known| *known == letter) {
                Some(bit) => 1 << bit,
                None if letter == b'A' => Self::ALL,
                None => {
                    return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into());
                }
            };
        }
        self.0 = classes;
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        let mut letters = Vec::new();
        let mut rest = self.0;
        if rest & Self::ALL == Self::ALL {
            letters.push(b'A');
            // Valkey leaves new keys unsaid beside it.
            rest &= !(Self::ALL | 1 << 10);
        }
        let shown = |bit: &usize| rest & 1 << bit != 0;
        letters.extend((0..Self::LETTERS.len()).filter(shown).map(|bit| Self::LETTERS[bit]));
        letters
    }

    fn directives(&self, kind: Kind) -> Vec<Vec<u8>> {
        let mut word = vec![b'"'];
        word.extend(self.format(kind));
        if self.0 & Self::ALL == Self::ALL && self.0 & 1 << 10 != 0 {
            word.push(b'n');
        }
        word.push(b'"');
        vec![word]
    }
}

/// What a signal asks for: `shutdown-on-sigterm`, `shutdown-on-sigint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownOn {
    pub save: bool,
    pub nosave: bool,
    pub now: bool,
    pub force: bool,
    pub safe: bool,
    pub failover: bool,
}

impl ShutdownOn {
    fn named(&mut self) -> [(&'static str, &mut bool); 6] {
        [
            ("save", &mut self.save),
            ("nosave", &mut self.nosave),
            ("now", &mut self.now),
            ("force", &mut self.force),
            ("safe", &mut self.safe),
            ("failover", &mut self.failover),
        ]
    }
}

impl Field for ShutdownOn {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        const WORDS: [&str; 7] = ["default", "save", "nosave", "now", "force", "safe", "failover"];
        let mut options = ShutdownOn::default();
        for word in words {
            if word.eq_ignore_ascii_case(b"default") {
                continue;
            }
            let mut named = options.named();
            let found =
                named.iter_mut().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
            let (_, flag) = found.ok_or_else(|| one_of(&WORDS))?;
            **flag = true;
        }
        if words.is_empty() {
            return Err(one_of(&WORDS));
        }
        if options.save && options.nosave {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
        }
        *self = options;
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        let mut options = *self;
        let named = options.named();
        let words: Vec<&str> = named.iter().filter(|(_, on)| **on).map(|(name, _)| *name).collect();
        if words.is_empty() { b"default".into() } else { words.join(" ").into() }
    }
}

/// `replicaof`: the primary to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaOf(pub Option<(String, u16)>);

impl Field for ReplicaOf {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        let [host, port] = words else { return Err("wrong number of arguments".into()) };
        if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            self.0 = None;
            return Ok(());
        }
        let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
        self.0 = Some((utf8(host)?.to_owned(), port.ok_or("Invalid primary port")?));
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        match &self.0 {
            Some((host, port)) => format!("{host} {port}").into(),
            None => Vec::new(),
        }
    }

    /// A primary's own are none: an empty directive would keep the server from starting.
    fn directives(&self, kind: Kind) -> Vec<Vec<u8>> {
        self.0.iter().map(|_| self.format(kind)).collect()
    }
}
