"""Each type in ordinary use, with redis-py and valkey-py, against this server and, to prove the tests, against Valkey.

The libraries return a reply in other shapes from version to version and from protocol to protocol; `plain` makes
them alike.
"""

import re
import threading

import pytest


def plain(value):
    """Tuples as lists, maps as lists of pairs, and numbers as numbers that may have come as their digits."""
    if isinstance(value, dict):
        return [[plain(key), plain(value)] for key, value in value.items()]
    if isinstance(value, (list, tuple)):
        return [plain(element) for element in value]
    if isinstance(value, bytes) and re.fullmatch(rb"-?\d+(\.\d+)?", value):
        return float(value)
    return value


def test_lists(typed):
    assert typed.rpush("l", "b", "c") == 2
    assert typed.lpush("l", "a") == 3
    assert typed.lrange("l", 0, -1) == [b"a", b"b", b"c"]
    assert typed.lpushx("none", "x") == 0
    assert typed.linsert("l", "before", "b", "ab") == 4
    assert typed.lindex("l", 1) == b"ab"
    assert typed.lset("l", -1, "C") is True
    assert typed.lpos("l", "C") == 3
    assert typed.lrem("l", 1, "ab") == 1
    assert typed.lmove("l", "m", "LEFT", "RIGHT") == b"a"
    assert typed.rpoplpush("l", "m") == b"C"
    assert typed.lrange("m", 0, -1) == [b"C", b"a"]
    assert plain(typed.lmpop(2, "none", "m", direction="LEFT", count=2)) == [b"m", [b"C", b"a"]]
    assert typed.exists("m") == 0
    assert typed.rpop("l", 2) == [b"b"]
    assert typed.lpop("l") is None
    typed.rpush("long", *range(5000))
    assert typed.llen("long") == 5000
    assert typed.ltrim("long", 10, -11) is True
    assert typed.lrange("long", 0, 1) == [b"10", b"11"]
    assert typed.lindex("long", -1) == b"4989"


def test_hashes(typed):
    assert typed.hset("h", mapping={"name": "Ada", "born": 1815, "note": "x" * 500}) == 3
    assert typed.hset("h", "name", "Ada L.") == 0
    assert typed.hget("h", "name") == b"Ada L."
    assert typed.hget("h", "none") is None
    assert typed.hmget("h", "born", "none") == [b"1815", None]
    assert typed.hincrby("h", "born", 5) == 1820
    assert typed.hincrbyfloat("h", "weight", 1.5) == 1.5
    assert typed.hsetnx("h", "name", "other") in (0, False)
    assert typed.hexists("h", "weight") is True
    assert typed.hlen("h") == 4
    assert sorted(typed.hkeys("h")) == [b"born", b"name", b"note", b"weight"]
    assert typed.hdel("h", "note", "none") == 1
    assert typed.hstrlen("h", "name") == 6
    assert typed.hgetall("h") == {b"name": b"Ada L.", b"born": b"1820", b"weight": b"1.5"}
    typed.hset("big", mapping={f"field:{i}": i for i in range(3000)})
    assert {field: int(value) for field, value in typed.hscan_iter("big", count=100)} == {
        f"field:{i}".encode(): i for i in range(3000)
    }
    assert len(set(typed.hrandfield("big", 50))) == 50


def test_fields_expire(typed):
    run = typed.execute_command
    typed.hset("h", mapping={"short": 1, "long": 2, "always": 3})
    assert run("HEXPIRE", "h", 1000, "FIELDS", 2, "long", "none") == [1, -2]
    assert run("HPEXPIRE", "h", 1, "FIELDS", 1, "short") == [1]
    assert 990 <= run("HTTL", "h", "FIELDS", 1, "long")[0] <= 1000
    assert run("HTTL", "h", "FIELDS", 1, "always") == [-1]
    await_true(lambda: typed.hget("h", "short") is None)
    assert run("HPERSIST", "h", "FIELDS", 1, "long") == [1]
    assert sorted(typed.hgetall("h")) == [b"always", b"long"]
    assert run("HGETEX", "h", "EX", 500, "FIELDS", 1, "always") == [b"3"]
    assert run("HSETEX", "h", "EX", 500, "FIELDS", 1, "fresh", "4") == 1
    assert run("HTTL", "h", "FIELDS", 2, "always", "fresh") in ([500, 500], [499, 500], [499, 499])


def await_true(condition):
    """Time itself is what is waited for."""
    expired = threading.Event()
    for _ in range(1000):
        if condition():
            return
        expired.wait(0.002)
    raise AssertionError("it does not come true")


def test_sets(typed):
    assert typed.sadd("s", 1, 2, 3) == 3
    assert typed.sadd("s", 3, "four") == 1
    assert set(typed.smembers("s")) == {b"1", b"2", b"3", b"four"}
    assert typed.sismember("s", "four") in (1, True)
    assert plain(typed.smismember("s", ["1", "none"])) == [1, 0]
    assert typed.srem("s", 1, "none") == 1
    assert typed.smove("s", "t", "four") in (1, True)
    typed.sadd("t", 2, 9)
    assert set(typed.sinter("s", "t")) == {b"2"}
    assert set(typed.sunion("s", "t")) == {b"2", b"3", b"9", b"four"}
    assert set(typed.sdiff("s", "t")) == {b"3"}
    assert typed.sinterstore("u", "s", "t") == 1
    assert typed.sintercard(2, ["s", "t"]) == 1
    assert typed.spop("u") == b"2"
    assert typed.scard("u") == 0
    typed.sadd("big", *range(10_000))
    assert {int(member) for member in typed.sscan_iter("big", count=500)} == set(range(10_000))
    assert len(set(typed.srandmember("big", 20))) == 20
    assert len(typed.srandmember("big", -20)) == 20


def test_sorted_sets(typed):
    assert typed.zadd("z", {"a": 1, "b": 2.5, "c": -1}) == 3
    assert typed.zadd("z", {"a": 5, "d": 1}, xx=True, ch=True) == 1
    assert typed.zadd("z", {"b": 1}, gt=True) == 0
    assert typed.zscore("z", "b") == 2.5
    assert typed.zmscore("z", ["a", "none"]) == [5, None]
    assert typed.zrange("z", 0, -1) == [b"c", b"b", b"a"]
    assert plain(typed.zrange("z", 0, -1, desc=True, withscores=True)) == [[b"a", 5], [b"b", 2.5], [b"c", -1]]
    assert typed.zrange("z", "(2.5", "+inf", byscore=True) == [b"a"]
    assert typed.zrevrangebyscore("z", "+inf", "-inf", start=0, num=2) == [b"a", b"b"]
    assert typed.zrank("z", "b") == 1
    assert typed.zrevrank("z", "b") == 1
    assert typed.zcount("z", 0, 10) == 2
    assert typed.zincrby("z", 0.5, "a") == 5.5
    typed.zadd("y", {"a": 10, "e": 1})
    assert typed.zunionstore("sum", ["z", "y"]) == 4
    assert typed.zscore("sum", "a") == 15.5
    assert plain(typed.zinter(["z", "y"], aggregate="MAX", withscores=True)) == [[b"a", 10]]
    assert typed.zdiff(["z", "y"]) == [b"c", b"b"]
    assert plain(typed.zpopmin("sum")) in ([[b"c", -1]], [b"c", -1])
    assert plain(typed.zmpop(1, ["sum"], max=True)) == [b"sum", [[b"a", 15.5]]]
    assert typed.zrem("z", "a", "none") == 1
    typed.zadd("lex", {letter: 0 for letter in "abcdef"})
    assert typed.zrangebylex("lex", "[b", "(e") == [b"b", b"c", b"d"]
    assert typed.zremrangebylex("lex", "-", "[c") == 3
    typed.zadd("big", {f"member:{i}": i / 4 for i in range(5000)})
    assert typed.zrank("big", "member:4321") == 4321
    assert typed.zremrangebyrank("big", 0, 999) == 1000
    assert typed.zremrangebyscore("big", 0, 300) == 201
    assert {int(member[7:]) for member, _ in typed.zscan_iter("big", count=300)} == set(range(1201, 5000))


def test_streams(typed, flavour):
    first = typed.xadd("x", {"temperature": "low", "unit": "C"})
    second = typed.xadd("x", {"temperature": "high"})
    assert typed.xlen("x") == 2
    assert plain(typed.xrange("x")) == [
        [first, [[b"temperature", b"low"], [b"unit", b"C"]]], [second, [[b"temperature", b"high"]]]
    ]
    assert plain(typed.xrevrange("x", count=1)) == [[second, [[b"temperature", b"high"]]]]
    assert entries(typed.xread({"x": first}))== [second]
    assert typed.xgroup_create("x", "readers", id="0") is True
    with pytest.raises(flavour.library.ResponseError, match="BUSYGROUP"):
        typed.xgroup_create("x", "readers", id="0")
    assert entries(typed.xreadgroup("readers", "one", {"x": ">"}, count=1)) == [first]
    assert entries(typed.xreadgroup("readers", "two", {"x": ">"})) == [second]
    assert entries(typed.xreadgroup("readers", "two", {"x": "0"})) == [second]
    assert typed.xack("x", "readers", first) == 1
    waiting = typed.xpending("x", "readers")
    assert waiting["pending"] == 1 and waiting["min"] == second
    assert typed.xpending_range("x", "readers", "-", "+", 10)[0]["consumer"] == b"two"
    assert [entry[0] for entry in typed.xclaim("x", "readers", "one", 0, [second])] == [second]
    cursor, claimed = typed.xautoclaim("x", "readers", "two", 0)[:2]
    assert (cursor, [entry[0] for entry in claimed]) == (b"0-0", [second])
    information = typed.xinfo_stream("x")
    assert information["length"] == 2 and information["last-generated-id"] == second
    assert typed.xinfo_groups("x")[0]["name"] == b"readers"
    assert {consumer["name"] for consumer in typed.xinfo_consumers("x", "readers")} == {b"one", b"two"}
    assert typed.xdel("x", first) == 1
    for number in range(1000):
        typed.xadd("long", {"number": number}, maxlen=100, approximate=False)
    assert typed.xlen("long") == 100
    assert typed.xtrim("long", maxlen=10, approximate=False) == 90
    assert plain(typed.xrange("long", count=1))[0][1] == [[b"number", 990]]


def entries(reply):
    """The ids that a read of one stream found."""
    streams = list(reply.values()) if isinstance(reply, dict) else [found for _, found in reply]
    found = plain(streams[0])
    # One library has a list of lists of entries here in RESP3.
    if found and isinstance(found[0][0], list):
        found = found[0]
    return [entry[0] for entry in found]


def test_bitmaps(typed):
    assert typed.setbit("b", 7, 1) == 0
    assert typed.setbit("b", 7, 0) == 1
    assert typed.setbit("b", 100, 1) == 0
    assert typed.getbit("b", 100) == 1
    assert typed.strlen("b") == 13
    typed.set("a", "foobar")
    assert typed.bitcount("a") == 26
    assert typed.bitcount("a", 1, 1) == 6
    assert typed.bitcount("a", 5, 30, "BIT") == 17
    assert typed.bitpos("a", 1) == 1
    assert typed.bitpos("a", 0, 2) == 16
    typed.set("c", "abcdef")
    assert typed.bitop("AND", "d", "a", "c") == 6
    assert typed.get("d") == b"`bc`ab"
    assert typed.bitop("NOT", "d", "a") == 6
    assert typed.bitcount("d") == 48 - 26
    field = typed.bitfield("f", default_overflow="SAT")
    assert field.set("u8", 0, 200).incrby("u8", 0, 100).get("i4", "#1").execute() == [0, 255, -1]
    assert plain(typed.bitfield_ro("f", "u8", 0)) == [255]


def test_hyperloglogs(typed):
    assert typed.pfadd("p", *range(100)) == 1
    assert typed.pfadd("p", 7) == 0
    assert abs(typed.pfcount("p") - 100) <= 3
    typed.pfadd("q", *range(50, 20_000))
    assert abs(typed.pfcount("p", "q") - 20_000) <= 600
    assert typed.pfmerge("r", "p", "q") is True
    assert typed.pfcount("r") == typed.pfcount("p", "q")
    # A string like any other.
    typed.set("copy", typed.get("r"))
    assert typed.pfcount("copy") == typed.pfcount("r")


def test_places(typed):
    assert typed.geoadd("g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")) == 2
    assert typed.geodist("g", "Palermo", "Catania", unit="km") == pytest.approx(166.2742, abs=0.0001)
    assert typed.geohash("g", "Palermo") in ([b"sqc8b49rny0"], ["sqc8b49rny0"])
    longitude, latitude = typed.geopos("g", "Catania")[0]
    assert (longitude, latitude) == pytest.approx((15.087269, 37.502669), abs=0.00001)
    near = typed.geosearch("g", longitude=15, latitude=37, radius=200, unit="km", sort="ASC", withdist=True)
    assert [place for place, _ in near] == [b"Catania", b"Palermo"]
    assert [distance for _, distance in near] == pytest.approx([56.4413, 190.4424], abs=0.0001)
    assert typed.geosearch("g", member="Catania", width=100, height=100, unit="km") == [b"Catania"]
    assert typed.geosearchstore("h", "g", longitude=15, latitude=37, radius=100, unit="km") == 1
    assert typed.zrange("h", 0, -1) == [b"Catania"]


def test_sorting_and_dumping(typed):
    typed.rpush("l", 3, 1, 2)
    typed.mset({"weight:1": 30, "weight:2": 10, "weight:3": 20})
    assert typed.sort("l") == [b"1", b"2", b"3"]
    assert typed.sort("l", by="weight:*", get=["#", "weight:*"]) == [b"2", b"10", b"3", b"20", b"1", b"30"]
    assert typed.sort("l", desc=True, store="sorted") == 3
    assert typed.lrange("sorted", 0, -1) == [b"3", b"2", b"1"]
    assert typed.restore("again", 0, typed.dump("sorted")) in (True, b"OK")
    assert typed.lrange("again", 0, -1) == [b"3", b"2", b"1"]


@pytest.mark.parametrize(
    "wait, give, expected",
    [
        (lambda client: client.blpop(["none", "k"], timeout=20), lambda client: client.rpush("k", "v"), [b"k", b"v"]),
        (lambda client: client.brpop("k", timeout=20), lambda client: client.rpush("k", "v", "w"), [b"k", b"w"]),
        (lambda client: client.blmove("k", "to", 20), lambda client: client.rpush("k", "v"), b"v"),
        (
            lambda client: client.blmpop(20, 2, "none", "k", direction="LEFT"),
            lambda client: client.rpush("k", "v"),
            [b"k", [b"v"]],
        ),
        (lambda client: client.bzpopmin("k", timeout=20), lambda client: client.zadd("k", {"v": 3}), [b"k", b"v", 3]),
        (
            lambda client: client.bzmpop(20, 1, ["k"], min=True),
            lambda client: client.zadd("k", {"v": 3}),
            [b"k", [[b"v", 3]]],
        ),
    ],
    ids=["blpop", "brpop", "blmove", "blmpop", "bzpopmin", "bzmpop"],
)
def test_blocking_pops(typed, wait, give, expected):
    replies = []
    waiter = threading.Thread(target=lambda: replies.append(wait(typed)))
    waiter.start()
    await_true(lambda: typed.info("clients")["blocked_clients"] == 1)
    give(typed)
    waiter.join()
    assert plain(replies) == [expected]
    assert typed.exists("k") == (1 if expected == [b"k", b"w"] else 0)


def test_a_blocking_read_of_a_stream(typed):
    replies = []
    waiter = threading.Thread(target=lambda: replies.append(typed.xread({"x": "$"}, block=20_000)))
    waiter.start()
    await_true(lambda: typed.info("clients")["blocked_clients"] == 1)
    added = typed.xadd("x", {"field": "value"})
    waiter.join()
    assert entries(replies[0]) == [added]


def test_a_pop_that_waits_in_vain(typed):
    assert typed.blpop("none", timeout=0.01) is None
    assert typed.bzpopmax("none", timeout=0.01) is None


def test_a_command_of_another_type_is_refused(typed, flavour):
    typed.rpush("l", "a")
    for call in [typed.get, typed.hgetall, typed.smembers, typed.xlen, typed.pfcount, typed.bitcount]:
        with pytest.raises(flavour.library.ResponseError, match="wrong kind of value"):
            call("l")
    assert typed.type("l") in (b"list", "list")
