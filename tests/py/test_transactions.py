"""Transactions and pipelines, with redis-py and valkey-py, on this server and, to prove the tests, on Valkey."""

import asyncio
import threading

import pytest


def test_a_pipeline_is_a_transaction(typed):
    pipeline = typed.pipeline()
    pipeline.set("a", 1).incr("a").get("a").lrange("none", 0, -1).hgetall("none").zscore("none", "x")
    assert pipeline.execute() == [True, 2, b"2", [], {}, None]
    assert pipeline.execute() == []


def test_a_command_that_fails_leaves_the_others(typed, flavour):
    pipeline = typed.pipeline()
    pipeline.set("a", "text").incr("a").set("b", 1)
    with pytest.raises(flavour.library.ResponseError, match="not an integer"):
        pipeline.execute()
    assert typed.get("b") == b"1"
    pipeline.set("a", "text").lpush("a", 1).set("c", 1)
    replies = pipeline.execute(raise_on_error=False)
    assert [replies[0], replies[2]] == [True, True]
    assert isinstance(replies[1], flavour.library.ResponseError)


def test_a_command_that_cannot_be_queued_ends_it(typed, flavour):
    pipeline = typed.pipeline()
    pipeline.set("a", 1).execute_command("NOSUCH", "x")
    with pytest.raises(flavour.library.ResponseError, match="unknown command"):
        pipeline.execute()
    assert typed.get("a") is None
    assert typed.ping() is True


def test_watching(typed, flavour):
    with typed.pipeline() as pipeline:
        pipeline.watch("a", "b")
        assert pipeline.get("a") is None
        typed.set("b", 1)
        pipeline.multi()
        pipeline.set("a", 2)
        with pytest.raises(flavour.library.WatchError):
            pipeline.execute()
        assert typed.get("a") is None
        pipeline.watch("a")
        pipeline.multi()
        pipeline.set("a", 3).get("b")
        assert pipeline.execute() == [True, b"1"]
        pipeline.watch("a")
        typed.set("a", 4)
        pipeline.unwatch()
        pipeline.multi()
        pipeline.get("a")
        assert pipeline.execute() == [b"4"]


def test_optimistic_increments_are_not_lost(typed):
    """As the documentation of redis-py does it, by several threads."""

    def increment(pipeline):
        value = int(pipeline.get("counter") or 0)
        pipeline.multi()
        pipeline.set("counter", value + 1)

    def work():
        for _ in range(25):
            typed.transaction(increment, "counter")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int(typed.get("counter")) == 100


def test_long_transactions(typed):
    pipeline = typed.pipeline()
    for number in range(5000):
        pipeline.rpush("l", "v" * (number % 100))
        pipeline.llen("l")
    replies = pipeline.execute()
    assert replies[1::2] == list(range(1, 5001))
    pipeline.set("large", bytes(3_000_000)).strlen("large").get("large")
    assert pipeline.execute() == [True, 3_000_000, bytes(3_000_000)]


def test_every_type_within(typed):
    pipeline = typed.pipeline()
    pipeline.rpush("l", 1, 2).hset("h", "f", "v").sadd("s", "m").zadd("z", {"a": 1.5}).xadd("x", {"f": "v"}, id="1-1")
    pipeline.setbit("b", 3, 1).pfadd("p", "e").geoadd("g", (13.361389, 38.115556, "Palermo"))
    pipeline.lrange("l", 0, -1).hgetall("h").smembers("s").zscore("z", "a").xlen("x").getbit("b", 3).pfcount("p").zcard("g")
    replies = pipeline.execute()
    # A set comes as a set or as a list, whichever the library thinks right.
    replies[10] = set(replies[10])
    assert replies[8:] == [[b"1", b"2"], {b"f": b"v"}, {b"m"}, 1.5, 1, 1, 1, 1]


def test_asyncio(flavour, server):
    async def main():
        client = flavour.asynchronous(server)

        async def increment():
            async with client.pipeline() as pipeline:
                while True:
                    try:
                        await pipeline.watch("counter")
                        value = int(await pipeline.get("counter") or 0)
                        pipeline.multi()
                        pipeline.set("counter", value + 1)
                        await pipeline.execute()
                        return
                    except flavour.library.WatchError:
                        continue

        await asyncio.gather(*(increment() for _ in range(20)))
        assert await client.get("counter") == b"20"
        async with client.pipeline(transaction=True) as pipeline:
            for _ in range(300):
                pipeline.incr("counter")
            assert await pipeline.execute() == list(range(21, 321))
        await client.aclose()

    asyncio.run(main())
