"""Jobs of the test with RQ."""

from ledger import record
from rq import get_current_job


def work(number):
    record(number)
    return number * 2


def fail_at_first(number, failures):
    record(number)
    if get_current_job().retries_left > 3 - failures:
        raise RuntimeError("not yet")
    return number * 2


def fail(number):
    record(number)
    raise RuntimeError("never")


def follow(number):
    """Runs after the job of the same number, whose result it finds."""
    assert get_current_job().dependency.return_value() == number * 2
    record(f"{number}-follows")
