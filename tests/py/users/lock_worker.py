"""Takes a lock again and again, for so many seconds, and adds one to the number in a file while it holds the lock.

    python -m lock_worker KIND NUMBER_FILE SECONDS
"""

import pathlib
import sys
import time

import redis
from ledger import record, url
from pottery import Redlock

WAIT_SECONDS = 30
LIFE_SECONDS = 10


def redis_py(client):
    return client.lock("lock", timeout=LIFE_SECONDS, blocking_timeout=WAIT_SECONDS, sleep=0.001)


def pottery(client):
    return Redlock(key="lock", masters={client}, auto_release_time=LIFE_SECONDS, context_manager_timeout=WAIT_SECONDS)


def prolong(kind, lock):
    if kind == "redis_py":
        lock.extend(LIFE_SECONDS, replace_ttl=True)
        lock.reacquire()
    else:
        lock.extend()


def main(kind, number, seconds):
    number = pathlib.Path(number)
    client = redis.Redis.from_url(url())
    end = time.monotonic() + float(seconds)
    times = 0
    while time.monotonic() < end:
        with {"redis_py": redis_py, "pottery": pottery}[kind](client) as lock:
            value = int(number.read_text())
            if times % 10 == 0:
                prolong(kind, lock)
            number.write_text(str(value + 1))
            record("held")
        times += 1


main(*sys.argv[1:])
