"""Jobs of the test with dramatiq."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from ledger import record, url

# Each command has one chance in a hundred to tidy its queue as well.
broker = RedisBroker(url=url(), maintenance_chance=10_000)
broker.add_middleware(Results(backend=RedisBackend(url=url()), store_results=True))
broker.add_middleware(CurrentMessage())
dramatiq.set_broker(broker)


@dramatiq.actor
def work(number):
    record(number)
    return number * 2


@dramatiq.actor(max_retries=3, min_backoff=10, max_backoff=50)
def fail_at_first(number):
    record(number)
    if CurrentMessage.get_current_message().options.get("retries", 0) < 2:
        raise RuntimeError("not yet")
    return number * 2


@dramatiq.actor(max_retries=1, min_backoff=10, max_backoff=50)
def fail(number):
    record(number)
    raise RuntimeError("never")


@dramatiq.actor
def follow(number, twice):  # a pipeline adds the result before
    assert twice == number * 2
    record(f"{number}-follows")
    return number * 2
