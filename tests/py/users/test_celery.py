"""Celery: workers with processes and with threads; retries, countdowns, chords, and results for all of them."""

from celery import chord
from deployment import deployment  # noqa: F401

WAIT_SECONDS = 30


def make(deployment, tasks):  # noqa: F811
    """Results that must come, with their values, and results of jobs that must fail."""
    results, failed = [], []
    for number in deployment.numbers():
        match number % 50:
            case 7:
                deployment.expect(number, 3)
                results.append((number * 2, tasks.fail_at_first.delay(number)))
            case 9:
                deployment.expect(number)
                failed.append(tasks.fail.delay(number))
            case 11:
                deployment.expect(number, delay=0.5)
                results.append((number * 2, tasks.work.apply_async((number,), countdown=0.5)))
            case 13:
                for index in range(5):
                    deployment.expect(f"{number}-{index}")
                deployment.expect(f"{number}-total")
                parts = [tasks.part.s(number, index) for index in range(5)]
                results.append((10, chord(parts)(tasks.total.s(number))))
            case _:
                deployment.expect(number)
                results.append((number * 2, tasks.work.delay(number)))
    return results, failed


def test_jobs(deployment):  # noqa: F811
    tasks = deployment.tasks("celery_tasks")

    for pool in ("prefork", "threads"):
        deployment.work("celery", "-A", "celery_tasks", "worker", "--pool", pool, "--concurrency", "2",
                        "--hostname", f"{pool}@localhost", "--loglevel", "WARNING")
    results, failed = make(deployment, tasks)
    deployment.wait()
    for value, result in results:
        assert result.get(timeout=WAIT_SECONDS) == value
    for result in failed:
        assert repr(result.get(timeout=WAIT_SECONDS, propagate=False)) == "RuntimeError('never')"
    assert deployment.stop() == [0, 0]
    deployment.check()
    with tasks.app.connection() as connection:
        queue = connection.default_channel
        assert queue.client.llen("celery") == queue.client.zcard("unacked_index") == queue.client.hlen("unacked") == 0
    tasks.app.close()
