"""redis-py and valkey-py, both protocols, each with its C parser and its Python one, over TCP,
Unix sockets and TLS."""

import asyncio
import threading

import pytest


def test_strings(client):
    assert client.set("a", "1") is True
    assert client.get("a") == b"1"
    assert client.get("missing") is None
    assert client.incr("a") == 2
    assert client.incrby("a", 40) == 42
    assert client.decr("a") == 41
    assert client.incrbyfloat("a", 0.5) == 41.5
    assert client.append("a", "!") == 5
    assert client.strlen("a") == 5
    assert client.getrange("a", 0, 1) == b"41"
    assert client.setrange("a", 1, "x") == 5
    assert client.getset("a", "new") == b"4x.5!"
    assert client.getdel("a") == b"new"
    assert client.mset({"x": 1, "y": 2}) is True
    assert client.msetnx({"x": 1, "z": 2}) is False
    assert client.mget("x", "y", "z") == [b"1", b"2", None]
    assert client.set("x", "2", nx=True) is None
    assert client.set("x", "2", xx=True, get=True) == b"1"
    client.mset({"one": "ohmytext", "two": "mynewtext"})
    assert client.lcs("one", "two") == b"mytext"
    assert client.lcs("one", "two", len=True) == 6


def test_every_byte_survives(client):
    value = bytes(range(256)) * 300
    for key in (b"", b"\r\n", "ключ".encode(), b"\0\xff"):
        client.set(key, value)
        assert client.get(key) == value
    assert client.exists(b"", b"\r\n", b"\0\xff") == 3


def test_large_values(client):
    value = bytes(range(256)) * (4 << 12)
    client.set("large", value)
    assert client.get("large") == value
    assert client.strlen("large") == len(value)


def test_expiry(client):
    client.set("a", 1, ex=100)
    assert 98 <= client.ttl("a") <= 100
    assert 98_000 <= client.pttl("a") <= 100_000
    assert client.persist("a") is True
    assert client.ttl("a") == -1
    assert client.ttl("missing") == -2
    assert client.expire("a", 50, nx=True) is True
    assert client.expire("a", 40, gt=True) is False
    assert client.expireat("a", 4_102_444_800) is True
    assert client.expiretime("a") == 4_102_444_800
    assert client.pexpire("a", -1) is True
    assert client.get("a") is None
    assert client.setex("b", 100, "v") is True
    assert client.getex("b", persist=True) == b"v"
    assert client.ttl("b") == -1


def test_keys(client):
    client.mset({f"key:{i}": i for i in range(100)})
    assert client.dbsize() == 100
    assert sorted(client.keys("key:?")) == sorted(f"key:{i}".encode() for i in range(10))
    assert {key for key in client.scan_iter("key:*", count=7)} == {f"key:{i}".encode() for i in range(100)}
    assert client.type("key:1") in (b"string", "string")
    assert client.rename("key:1", "renamed") is True
    assert client.copy("renamed", "copied") in (1, True)
    assert client.touch("renamed", "copied", "none") == 2
    assert client.object("encoding", "copied") in (b"int", "int")
    assert client.randomkey().decode()
    assert client.delete("renamed", "copied", "none") == 2
    assert client.unlink("key:2") == 1
    assert client.move("key:3", 5) in (1, True)
    assert client.flushall() is True
    assert client.dbsize() == 0


def test_an_error_leaves_the_connection_in_use(client, flavour):
    with pytest.raises(flavour.library.ResponseError, match="not an integer"):
        client.set("a", "text")
        client.incr("a")
    with pytest.raises(flavour.library.ResponseError, match="unknown command"):
        client.execute_command("NOTHING", "a")
    assert client.get("a") == b"text"


def test_pipelines(client, flavour):
    pipeline = client.pipeline(transaction=False)
    for i in range(2000):
        pipeline.set(f"k{i}", "v" * (i % 200))
        pipeline.strlen(f"k{i}")
    replies = pipeline.execute()
    assert replies[0::2] == [True] * 2000
    assert replies[1::2] == [i % 200 for i in range(2000)]
    pipeline.set("a", "x").incr("a").get("a")
    replies = pipeline.execute(raise_on_error=False)
    assert replies[0] is True and replies[2] == b"x"
    assert isinstance(replies[1], flavour.library.ResponseError)


def test_connection_commands(flavour, server):
    client = flavour.client(server, client_name="tester", db=3)
    assert client.ping() is True
    assert client.echo("text") == b"text"
    assert client.client_getname() in ("tester", b"tester")
    assert client.client_id() > 0
    information = client.client_info()
    assert str(information["db"]) == "3" and str(information["resp"]) == str(flavour.protocol)
    assert information["lib-name"]
    client.set("a", 1)
    assert any(str(one["name"]) == "tester" for one in client.client_list())
    assert flavour.client(server).get("a") is None
    client.close()


def test_server_commands(client):
    information = client.info()
    assert information["redis_version"] == "7.2.4"
    assert information["server_name"] == "verbena"
    assert int(client.config_get("databases")["databases"]) == 16
    assert client.config_set("maxmemory-samples", 6) is True
    assert client.config_get("maxmemory-samples")["maxmemory-samples"] == "6"
    assert client.config_set("maxmemory-samples", 5) is True
    assert client.command_count() > 50
    assert client.command()["get"]["arity"] == 2
    assert len(client.time()) == 2


def test_threads_share_a_pool(flavour, server):
    client = flavour.client(server)
    errors = []

    def work(number):
        try:
            for i in range(200):
                client.set(f"{number}:{i}", number)
                assert int(client.get(f"{number}:{i}")) == number
                client.incr("counter")
        except Exception as error:  # A thread's failure is the test's.
            errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert int(client.get("counter")) == 1600
    assert client.dbsize() == 1601
    client.close()


def test_asyncio(flavour, server):
    async def main():
        client = flavour.asynchronous(server)
        await asyncio.gather(*(client.set(f"k{i}", i) for i in range(50)))
        values = await asyncio.gather(*(client.get(f"k{i}") for i in range(50)))
        assert values == [str(i).encode() for i in range(50)]
        async with client.pipeline(transaction=False) as pipeline:
            for i in range(500):
                pipeline.incr("counter")
            assert await pipeline.execute() == list(range(1, 501))
        assert {key async for key in client.scan_iter("k*")} == {f"k{i}".encode() for i in range(50)}
        await client.aclose()

    asyncio.run(main())
