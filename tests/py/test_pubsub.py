"""Pub/sub, MONITOR and client-side caching, with redis-py and valkey-py, on this server and, to prove the tests, on
Valkey."""

import asyncio
import collections
import threading

import pytest
import redis
import valkey
from conftest import FLAVOURS
from redis.cache import CacheConfig

PATIENCE = 20


def hands_out_pushes(flavour):
    """valkey-py's own parser of RESP3 waits for a reply after each push."""
    return not (flavour.library is valkey and flavour.protocol == 3 and flavour.parser == "plain")


@pytest.fixture(params=filter(hands_out_pushes, FLAVOURS), ids=str)
def flavour(request):
    return request.param


def messages(pubsub, count):
    """The next `count` messages, as (type, pattern, channel, data)."""
    found = []
    while len(found) < count:
        message = pubsub.get_message(timeout=PATIENCE)
        assert message is not None, found
        found.append((message["type"], message["pattern"], message["channel"], message["data"]))
    return found


def test_channels_and_patterns(typed):
    with typed.pubsub() as pubsub:
        pubsub.subscribe("a", "b")
        pubsub.psubscribe("a*")
        assert sorted(messages(pubsub, 3)) == [
            ("psubscribe", None, b"a*", 3), ("subscribe", None, b"a", 1), ("subscribe", None, b"b", 2),
        ]
        assert typed.publish("b", b"\x00\xff") == 1
        assert typed.publish("a", "x") == 2
        assert typed.publish("nobody", "x") == 0
        assert messages(pubsub, 3) == [
            ("message", None, b"b", b"\x00\xff"), ("message", None, b"a", b"x"), ("pmessage", b"a*", b"a", b"x"),
        ]
        assert sorted(typed.pubsub_channels()) == [b"a", b"b"]
        assert typed.pubsub_numsub("a", "none") == [(b"a", 1), (b"none", 0)]
        assert typed.pubsub_numpat() == 1
        pubsub.unsubscribe()
        assert [kind for kind, *_ in messages(pubsub, 2)] == ["unsubscribe"] * 2
        pubsub.punsubscribe("a*")
        assert messages(pubsub, 1) == [("punsubscribe", None, b"a*", 0)]
        assert typed.publish("a", "x") == 0


def test_sharded_channels(typed):
    with typed.pubsub() as pubsub:
        pubsub.ssubscribe("{x}a", "{x}b")
        assert messages(pubsub, 2) == [("ssubscribe", None, b"{x}a", 1), ("ssubscribe", None, b"{x}b", 2)]
        # Channels of the other kind have the same names and nothing in common.
        assert typed.publish("{x}a", "x") == 0
        assert typed.execute_command("SPUBLISH", "{x}a", "y") == 1
        assert messages(pubsub, 1) == [("smessage", None, b"{x}a", b"y")]
        assert sorted(typed.pubsub_shardchannels()) == [b"{x}a", b"{x}b"]
        assert typed.pubsub_shardnumsub("{x}a") == [(b"{x}a", 1)]
        pubsub.sunsubscribe("{x}a")
        assert messages(pubsub, 1) == [("sunsubscribe", None, b"{x}a", 1)]


def test_handlers_on_a_thread_get_every_message_in_its_order(typed):
    found = collections.defaultdict(list)
    everything = threading.Event()

    def handle(message):
        found[message["channel"]].append(int(message["data"]))
        if sum(map(len, found.values())) == 4000:
            everything.set()

    pubsub = typed.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(**{f"c{i}": handle for i in range(4)})
    while typed.pubsub_numsub("c3") != [(b"c3", 1)]:
        pass
    thread = pubsub.run_in_thread(sleep_time=0.1)

    def publish(channel):
        pipeline = typed.pipeline(transaction=False)
        for i in range(1000):
            pipeline.publish(channel, i)
        assert pipeline.execute() == [1] * 1000

    publishers = [threading.Thread(target=publish, args=(f"c{i}",)) for i in range(4)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    assert everything.wait(PATIENCE)
    thread.stop()
    thread.join()
    pubsub.close()
    assert found == {b"c%d" % i: list(range(1000)) for i in range(4)}


def test_keyspace_notifications(typed):
    typed.config_set("notify-keyspace-events", "KEA")
    try:
        with typed.pubsub() as pubsub:
            pubsub.psubscribe("__key*__:*")
            messages(pubsub, 1)
            typed.set("k", 1)
            typed.delete("k")
            assert [(channel, data) for _, _, channel, data in messages(pubsub, 4)] == [
                (b"__keyspace@0__:k", b"set"), (b"__keyevent@0__:set", b"k"),
                (b"__keyspace@0__:k", b"del"), (b"__keyevent@0__:del", b"k"),
            ]
    finally:
        typed.config_set("notify-keyspace-events", "")


def test_monitor(typed, flavour):
    with typed.monitor() as monitor:
        typed.set("a b", b"\x01\"")
        assert typed.get("a b") == b"\x01\""
        commands = []
        while len(commands) < 2:
            command = monitor.next_command()
            # The connection may say who it is first.
            if command["command"].split(" ")[0] in ("SET", "GET"):
                commands.append(command)
    assert [command["command"] for command in commands] == ['SET a b \\x01"', "GET a b"]
    assert {command["db"] for command in commands} == {0}
    assert {command["client_type"] for command in commands} == {"unix" if flavour.transport == "unix" else "tcp"}


@pytest.mark.parametrize("fixture", ["server", "valkey_server"], ids=["on-verbena", "on-valkey"])
def test_a_cache_in_the_client(fixture, request, monkeypatch):
    server = request.getfixturevalue(fixture)
    # redis-py caches only what a server of this name tells it.
    monkeypatch.setattr(redis.connection.CacheProxyConnection, "DEFAULT_SERVER_NAME", "valkey")
    with (
        redis.Redis(port=server.port, protocol=3, cache_config=CacheConfig()) as client,
        redis.Redis(port=server.port) as other,
    ):
        other.flushall()
        cache = client.get_cache()
        other.set("a", 1)
        assert (client.get("a"), client.mget("a", "b")) == (b"1", [b"1", None])
        assert cache.size == 2
        sent = other.info("commandstats")["cmdstat_get"]["calls"]
        assert [client.get("a") for _ in range(100)] == [b"1"] * 100
        assert other.info("commandstats")["cmdstat_get"]["calls"] == sent
        for i in range(100):
            other.set("a", i)
            # The invalidation is on its way before this reply.
            assert client.ping()
            assert client.get("a") == b"%d" % i
        other.set("b", 2)
        assert client.ping()
        assert client.mget("a", "b") == [b"99", b"2"]
        other.flushall()
        assert client.ping()
        assert client.get("a") is None


def test_many_asynchronous_subscribers(flavour, server):
    async def run():
        clients = [flavour.asynchronous(server) for _ in range(20)]
        subscribers = [client.pubsub(ignore_subscribe_messages=True) for client in clients]
        for subscriber in subscribers:
            await subscriber.subscribe("c")
        publisher = clients[0]
        while dict(await publisher.pubsub_numsub("c"))[b"c"] < len(subscribers):
            await asyncio.sleep(0)
        for i in range(100):
            assert await publisher.publish("c", i) == len(subscribers)

        async def read(subscriber):
            found = []
            while len(found) < 100:
                message = await subscriber.get_message(timeout=PATIENCE)
                if message is not None:
                    found.append(int(message["data"]))
            return found

        assert await asyncio.gather(*map(read, subscribers)) == [list(range(100))] * len(subscribers)
        for subscriber, client in zip(subscribers, clients):
            await subscriber.aclose()
            await client.aclose()

    asyncio.run(asyncio.wait_for(run(), 3 * PATIENCE))
