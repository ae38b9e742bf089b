"""RQ: two workers, of which one forks for each job, a scheduler, retries, dependent, delayed and failing jobs."""

from datetime import timedelta

import pytest
import rq_tasks
from deployment import deployment  # noqa: F401
from ledger import url
from rq import Queue, Retry
from rq.exceptions import DuplicateJobError
from rq.registry import FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry


def test_jobs(deployment):  # noqa: F811
    for kind in ("rq.worker.SimpleWorker", "rq.worker.Worker"):
        deployment.work("rq.cli", "worker", "--url", url(), "--with-scheduler", "--worker-class", kind, "jobs")
    queue = Queue("jobs", connection=deployment.redis)
    failed = []
    for number in deployment.numbers():
        match number % 50:
            case 7:
                deployment.expect(number, 3)
                queue.enqueue(rq_tasks.fail_at_first, number, 2, retry=Retry(max=3))
            case 9:
                deployment.expect(number)
                failed.append(queue.enqueue(rq_tasks.fail, number).id)
            case 11:
                deployment.expect(number, delay=1)  # RQ cuts the time down to a whole second
                queue.enqueue_in(timedelta(seconds=2), rq_tasks.work, number)
            case 13:
                deployment.expect(number)
                deployment.expect(f"{number}-follows")
                first = queue.enqueue(rq_tasks.work, number)
                queue.enqueue(rq_tasks.follow, number, depends_on=first)
            case 15:
                deployment.expect(number)
                queue.enqueue(rq_tasks.work, number, job_id=f"unique-{number}", unique=True)
                with pytest.raises(DuplicateJobError):
                    queue.enqueue(rq_tasks.work, number, job_id=f"unique-{number}", unique=True)
            case _:
                deployment.expect(number)
                queue.enqueue(rq_tasks.work, number)
    deployment.wait()
    assert deployment.stop() == [0, 0]
    deployment.check()
    assert queue.count == 0
    assert set(queue.failed_job_registry.get_job_ids()) == set(failed)
    assert FinishedJobRegistry(queue=queue).count == len(deployment.expected) - len(failed)
    assert StartedJobRegistry(queue=queue).count == ScheduledJobRegistry(queue=queue).count == 0
