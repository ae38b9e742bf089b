"""Locks of redis-py and of pottery (Redlock) in several processes, and pottery's identifiers."""

import threading

import pytest
import redis
from deployment import SECONDS, deployment, seconds  # noqa: F401
from pottery import NextID
from redis.exceptions import LockNotOwnedError

PROCESSES = 3


@pytest.mark.parametrize("kind", ["redis_py", "pottery"])
def test_one_at_a_time(deployment, tmp_path, kind):  # noqa: F811
    number = tmp_path / "number"
    number.write_text("0")
    for _ in range(PROCESSES):
        deployment.work("lock_worker", kind, str(number), str(SECONDS))
    assert deployment.end() == [0] * PROCESSES
    assert int(number.read_text()) == deployment.ledger.counts()["held"] > 10
    assert deployment.redis.dbsize() == 0
    print(f"held {number.read_text()} times")


def test_a_lock_that_ran_out_belongs_to_the_next_one(deployment):  # noqa: F811
    first = deployment.redis.lock("lock", timeout=0.05)
    second = deployment.redis.lock("lock", timeout=10, sleep=0.001)
    assert first.acquire()
    assert second.acquire(blocking_timeout=5)
    for late in (first.reacquire, lambda: first.extend(1), first.release):
        with pytest.raises(LockNotOwnedError):
            late()
    assert second.owned() and not first.owned()
    second.release()


def test_identifiers(deployment):  # noqa: F811
    taken = [[] for _ in range(4)]

    def take(mine):
        with redis.Redis(port=deployment.port) as client:
            ids = NextID(key="ids", masters={client}, num_tries=1_000)
            for _ in seconds():
                mine.append(next(ids))

    threads = [threading.Thread(target=take, args=[mine]) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = sum(taken, [])
    assert all(mine == sorted(mine) and len(mine) > 10 for mine in taken)
    assert len(set(together)) == len(together)
    assert max(together) >= len(together)
    print(f"{len(together)} identifiers")
