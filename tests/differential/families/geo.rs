//! Places on the earth.

use crate::commands::{Entry, command};

pub const COMMANDS: &[Entry] = &[
    command("geoadd", "geo-set [NX|XX] [CH] (longitude latitude place)...").weight(40),
    command("geodist", "geo-set place place [unit]").weight(15),
    command("geohash", "geo-set place..."),
    command("geopos", "geo-set place..."),
    command(
        "georadius",
        "geo-set longitude latitude distance unit [WITHCOORD] [WITHDIST] [WITHHASH] \
         [COUNT count [ANY]] [ASC|DESC]",
    ),
    command(
        "georadius",
        "geo-set longitude latitude distance unit [COUNT count [ANY]] [ASC|DESC] \
         (STORE geo-set|STOREDIST zset-target)",
    ),
    command(
        "georadius_ro",
        "geo-set longitude latitude distance unit [WITHCOORD] [WITHDIST] [WITHHASH] \
         [COUNT count [ANY]] [ASC|DESC]",
    )
    .weight(5),
    command(
        "georadiusbymember",
        "geo-set place distance unit [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] \
         [ASC|DESC] [STORE geo-set] [STOREDIST zset-target]",
    ),
    command(
        "georadiusbymember_ro",
        "geo-set place distance unit [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] \
         [ASC|DESC]",
    )
    .weight(5),
    command(
        "geosearch",
        "geo-set (FROMMEMBER place|FROMLONLAT longitude latitude) \
         (BYRADIUS distance unit|BYBOX distance distance unit) \
         [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
    )
    .weight(30),
    command(
        "geosearch",
        "geo-set BYPOLYGON four longitude latitude longitude latitude longitude latitude \
         longitude latitude [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
    ),
    command(
        "geosearchstore",
        "geo-set geo-set (FROMMEMBER place|FROMLONLAT longitude latitude) \
         (BYRADIUS distance unit|BYBOX distance distance unit) [ASC|DESC] [COUNT count [ANY]]",
    ),
    command(
        "geosearchstore",
        "zset-target geo-set (FROMMEMBER place|FROMLONLAT longitude latitude) \
         (BYRADIUS distance unit|BYBOX distance distance unit) [ASC|DESC] [COUNT count [ANY]] \
         STOREDIST",
    ),
];
