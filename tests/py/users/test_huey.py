"""huey: consumers with threads and with processes, its queue and its queue with priorities; retries, schedules, chains."""

import signal

import pytest
from deployment import deployment  # noqa: F401


@pytest.mark.parametrize("kind", ["fifo", "priority"])
def test_jobs(deployment, kind):  # noqa: F811
    huey_tasks = deployment.tasks("huey_tasks")

    for workers in ("thread", "process"):
        deployment.work("huey.bin.huey_consumer", f"huey_tasks.{kind}", "-w", "2", "-k", workers, "-n", "-d", "0.01", "-m", "0.05")
    queue, tasks = huey_tasks.queues[kind], huey_tasks.TASKS[kind]
    results = {}
    for number in deployment.numbers():
        match number % 50:
            case 7:
                deployment.expect(number, 3)
                results[number] = tasks["fail_at_first"](number)
            case 9:
                deployment.expect(number, 2)
                tasks["fail"](number)
            case 11:
                deployment.expect(number, delay=0.5)
                results[number] = tasks["work"].schedule((number,), delay=0.5)
            case 13:
                deployment.expect(number)
                deployment.expect(f"{number}-follows")
                first = tasks["work"].s(number)
                *_, last = queue.enqueue(first.then(tasks["add"], number))
                results[f"{number}-follows"] = last
            case _:
                deployment.expect(number)
                results[number] = tasks["work"](number)
    deployment.wait()
    assert deployment.stop(signal.SIGINT) == [0, 0]
    deployment.check()
    assert queue.pending_count() == queue.scheduled_count() == 0
    for name, result in results.items():
        assert result.get() == (int(name) * 2 if isinstance(name, int) else int(name.split("-")[0]) * 3)
