"""Jobs of the test with huey."""

from huey import PriorityRedisHuey, RedisHuey
from ledger import record, url

queues = {"fifo": RedisHuey("fifo", url=url()), "priority": PriorityRedisHuey("priority", url=url())}
fifo, priority = queues.values()


def work(number):
    record(number)
    return number * 2


def fail_at_first(number, task=None):
    record(number)
    if task.retries > 1:
        raise RuntimeError("not yet")
    return number * 2


def fail(number):
    record(number)
    raise RuntimeError("never")


def add(number, total):  # a chain adds the result before
    record(f"{number}-follows")
    return total + number


TASKS = {
    name: {
        "work": queue.task()(work),
        "fail_at_first": queue.task(retries=3, context=True)(fail_at_first),
        "fail": queue.task(retries=1)(fail),
        "add": queue.task()(add),
    }
    for name, queue in queues.items()
}
