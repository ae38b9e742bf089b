"""dramatiq: two processes of four threads; retries, delayed messages, pipelines, results and dead letters."""

from deployment import deployment  # noqa: F401


def test_jobs(deployment):  # noqa: F811
    tasks = deployment.tasks("dramatiq_tasks")

    deployment.work("dramatiq", "--processes", "2", "--threads", "4", "dramatiq_tasks")
    results, failed = [], []
    for number in deployment.numbers():
        match number % 50:
            case 7:
                deployment.expect(number, 3)
                results.append((number, tasks.fail_at_first.send(number)))
            case 9:
                deployment.expect(number, 2)
                failed.append(tasks.fail.send(number))
            case 11:
                deployment.expect(number, delay=0.5)
                results.append((number, tasks.work.send_with_options(args=(number,), delay=500)))
            case 13:
                deployment.expect(number)
                deployment.expect(f"{number}-follows")
                last = tasks.follow.message(number)
                (tasks.work.message(number) | last).run()
                results.append((number, last))
            case _:
                deployment.expect(number)
                results.append((number, tasks.work.send(number)))
    deployment.wait()
    for number, message in results:
        assert message.get_result(block=True) == number * 2
    tasks.broker.join("default", timeout=30_000)
    assert deployment.stop() == [0]
    deployment.check()
    dead = {message.decode() for message in deployment.redis.zrange("dramatiq:default.XQ", 0, -1)}
    assert len(dead) == len(failed)
    left = deployment.redis.keys("dramatiq:default*")
    assert set(left) <= {b"dramatiq:default.XQ", b"dramatiq:default.XQ.msgs"}
