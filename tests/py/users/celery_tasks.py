"""Jobs of the test with Celery."""

from celery import Celery
from ledger import record, url

app = Celery("tasks", broker=url(1), backend=url(2))
app.conf.update(
    task_acks_late=True, worker_prefetch_multiplier=4, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True,
    result_extended=True,
)


class NotYet(Exception):
    pass


@app.task
def work(number):
    record(number)
    return number * 2


@app.task(bind=True, autoretry_for=(NotYet,), max_retries=3, default_retry_delay=0.05)
def fail_at_first(self, number):
    record(number)
    if self.request.retries < 2:
        raise NotYet
    return number * 2


@app.task
def fail(number):
    record(number)
    raise RuntimeError("never")


@app.task
def part(number, index):
    record(f"{number}-{index}")
    return index


@app.task
def total(parts, number):
    record(f"{number}-total")
    return sum(parts)
