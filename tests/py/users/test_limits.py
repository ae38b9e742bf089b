"""limits: the three strategies, several threads with a storage each, counted exactly."""

import threading
import time

import pytest
from deployment import deployment, seconds  # noqa: F401
from ledger import url
from limits import RateLimitItemPerHour, RateLimitItemPerSecond, strategies
from limits.storage import RedisStorage

THREADS = 4
LIMIT = 50
STRATEGIES = [
    strategies.FixedWindowRateLimiter, strategies.MovingWindowRateLimiter, strategies.SlidingWindowCounterRateLimiter,
]


def together(work):
    """Has each thread work with a storage of its own; the results of all of them."""
    results, errors = [], []

    def run():
        try:
            results.append(work(RedisStorage(url())))
        except Exception as error:  # A thread's failure is the test's.
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return results


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_limit_is_met_exactly(deployment, strategy):  # noqa: F811
    limit = RateLimitItemPerHour(LIMIT)
    tries = LIMIT // 2  # of each thread: twice the limit altogether
    rounds = threading.Barrier(THREADS, timeout=30)
    stop = threading.Event()

    def work(storage):
        limiter = strategy(storage)
        granted = []
        numbers = seconds()
        while True:
            if rounds.wait() == 0 and next(numbers, None) is None:
                stop.set()
            rounds.wait()
            if stop.is_set():
                return granted
            name = f"user-{len(granted)}"
            granted.append(sum(limiter.hit(limit, name) for _ in range(tries)))
            rounds.wait()
            assert limiter.get_window_stats(limit, name).remaining == 0
            assert not limiter.test(limit, name)

    granted = [sum(counts) for counts in zip(*together(work), strict=True)]
    assert granted == [LIMIT] * len(granted)
    assert len(granted) > 5
    print(f"{len(granted)} users of {LIMIT} hits")


def test_no_second_has_more(deployment):  # noqa: F811
    limit = RateLimitItemPerSecond(LIMIT)

    def work(storage):
        limiter = strategies.MovingWindowRateLimiter(storage)
        granted = []
        for _ in seconds():
            before = time.time()
            if limiter.hit(limit, "everybody"):
                granted.append((before, time.time()))
        return granted

    granted = sum(together(work), [])
    before, after = sorted(start for start, _ in granted), sorted(end for _, end in granted)
    spans = [end - start for start, end in zip(before, after[LIMIT:], strict=False)]
    assert len(spans) > 0 and min(spans) >= 1
    assert len(granted) >= LIMIT * (after[-1] - before[0]) * 0.5
    print(f"{len(granted)} hits")
