"""The Redis cache of Django, in its ordinary work."""

import pytest
from conftest import flush
from django.conf import settings
from django.core.cache.backends.redis import RedisCache

LIFE_SECONDS = 300


@pytest.fixture(params=["server", "valkey_server"], ids=["on-verbena", "on-valkey"])
def location(request):
    server = request.getfixturevalue(request.param)
    flush(server)
    return f"redis://127.0.0.1:{server.port}/1"


@pytest.fixture(params=[{}, {"db": 2}, {"protocol": 3}], ids=["plain", "database", "resp3"])
def cache(request, location):
    if not settings.configured:
        settings.configure(USE_TZ=True)
    return RedisCache(location, {"TIMEOUT": LIFE_SECONDS, "KEY_PREFIX": "site", "OPTIONS": request.param})


def remaining(cache, key, version=None):
    """Seconds that the key has left; -1: for ever, -2: it is not there."""
    return cache._cache.get_client().ttl(cache.make_key(key, version=version))


def test_set_get_add_and_delete(cache):
    assert cache.get("a") is None
    assert cache.get("a", "default") == "default"
    cache.set("a", {"list": [1, 2.5, None], "text": "naïve ☃", "bytes": b"\0\xff"})
    assert cache.get("a") == {"list": [1, 2.5, None], "text": "naïve ☃", "bytes": b"\0\xff"}
    assert cache.add("a", 1) is False
    assert cache.add("b", 1) is True
    assert cache.get("b") == 1
    assert "a" in cache and "none" not in cache
    assert cache.delete("a") is True
    assert cache.delete("a") is False
    cache.set("none", None)
    assert cache.get("none", "default") is None
    large = "x" * 2_000_000
    cache.set("large", large)
    assert cache.get("large") == large


def test_times_to_live(cache):
    cache.set("usual", 1)
    cache.set("short", 1, timeout=50)
    cache.set("always", 1, timeout=None)
    assert LIFE_SECONDS - 10 < remaining(cache, "usual") <= LIFE_SECONDS
    assert 40 < remaining(cache, "short") <= 50
    assert remaining(cache, "always") == -1
    cache.set("never", 1, timeout=0)
    cache.set("always", 2, timeout=-1)
    assert cache.get("never") is None and cache.get("always") is None
    assert cache.add("added", 1, timeout=60) is True
    assert 50 < remaining(cache, "added") <= 60
    assert cache.add("passed", 1, timeout=0) is True
    assert cache.get("passed") is None
    assert cache.touch("short", 1000) is True
    assert 990 < remaining(cache, "short") <= 1000
    assert cache.touch("short", None) is True
    assert remaining(cache, "short") == -1
    assert cache.touch("none") is False
    assert cache.touch("short", 0) is True
    assert cache.get("short") is None


def test_counting(cache):
    cache.set("n", 5)
    assert cache.incr("n") == 6
    assert cache.incr("n", 10) == 16
    assert cache.decr("n", 20) == -4
    assert cache.get("n") == -4
    assert LIFE_SECONDS - 10 < remaining(cache, "n") <= LIFE_SECONDS
    with pytest.raises(ValueError, match="not found"):
        cache.incr("none")
    assert cache.get_or_set("computed", lambda: 42) == 42
    assert cache.get_or_set("computed", lambda: 43) == 42


def test_many_at_once(cache):
    numbers = {f"key:{number}": number for number in range(200)}
    assert cache.set_many(numbers, timeout=100) == []
    assert cache.get_many([*numbers, "none"]) == numbers
    assert all(90 < remaining(cache, key) <= 100 for key in list(numbers)[:5])
    cache.set_many({"a": 1, "b": 2}, timeout=None)
    assert remaining(cache, "a") == -1
    cache.delete_many(["a", "b", "none"])
    assert cache.get_many(["a", "b"]) == {}
    cache.clear()
    assert cache.get_many(numbers) == {}


def test_versions(cache):
    cache.set("a", "one")
    cache.set("a", "two", version=2)
    assert [cache.get("a"), cache.get("a", version=2), cache.get("a", version=3)] == ["one", "two", None]
    assert cache.incr_version("a", version=2) == 3
    assert [cache.get("a", version=2), cache.get("a", version=3)] == [None, "two"]
    assert cache.decr_version("a", version=3) == 2
    assert cache.delete("a", version=2) is True
    assert cache.has_key("a") and not cache.has_key("a", version=2)
    with pytest.raises(ValueError, match="not found"):
        cache.incr_version("none")
