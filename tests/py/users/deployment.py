"""A server, processes that work on it, and an account of the jobs that they must have run.

Each test makes work for VERBENA_USERS_SECONDS (2 if it is not set; 60 for a long run), on this server and on Valkey,
where the same must hold: that proves the test.
"""

import contextlib
import importlib
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import redis
from conftest import flush
from ledger import LEDGER, PORT, Ledger

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = float(os.environ.get("VERBENA_USERS_SECONDS", "2"))
STOP_SECONDS = 30
# Jobs that are made ahead of the workers, so that the rest is done soon after the last one was made.
AHEAD = 200


def seconds():
    """Numbers from 0 on, for as long as the test makes work."""
    end = time.monotonic() + SECONDS
    for number in itertools.count():
        if time.monotonic() >= end:
            return
        yield number


class Deployment:
    def __init__(self, server, directory):
        self.directory = directory
        self.port = server.port
        self.ledger = Ledger(directory)
        self.expected = Counter()
        self.earliest = {}
        self.workers = []
        self.redis = redis.Redis(port=server.port)

    def environment(self):
        path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        return {"PYTHONPATH": path, PORT: str(self.port), LEDGER: self.ledger.path}

    def work(self, *command):
        """Starts `python -m command` as a worker."""
        with open(self.directory / f"worker-{len(self.workers)}.log", "wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=self.directory, env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )
        self.workers.append(worker)

    def all_work(self):
        assert [worker.poll() for worker in self.workers] == [None] * len(self.workers)

    def tasks(self, name):
        """The module of tasks, which finds the server's address when it is imported."""
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    def numbers(self):
        """Numbers for jobs, which do not run far ahead of the workers."""
        for number in seconds():
            self.ledger.wait_for(self.expected.total() - AHEAD, self.all_work)
            yield number

    def expect(self, name, runs=1, delay=0):
        """The job has to run so many times, the first time no sooner than after the delay."""
        self.expected[str(name)] += runs
        self.earliest[str(name)] = time.time() + delay

    def wait(self):
        self.ledger.wait_for(self.expected.total(), self.all_work)

    def stop(self, how=signal.SIGTERM):
        """Has the workers finish what they do; then all that they ran is in the ledger."""
        for worker in self.workers:
            worker.send_signal(how)
        codes = [worker.wait(STOP_SECONDS) for worker in self.workers]
        self.ledger.close()
        return codes

    def end(self):
        """Waits for workers that end by themselves."""
        codes = [worker.wait(SECONDS + STOP_SECONDS) for worker in self.workers]
        self.ledger.close()
        return codes

    def check(self):
        """Each job ran exactly as often as it had to, and no sooner."""
        counts = self.ledger.counts()
        wrong = {name: counts[name] for name in counts | self.expected if counts[name] != self.expected[name]}
        assert not wrong, f"runs: {wrong}"
        margins = {name: self.ledger.times[name][0] - at for name, at in self.earliest.items()}
        soon = {name: margin for name, margin in margins.items() if margin < 0}
        assert not soon, f"too soon, in seconds: {soon}"
        print(f"{len(self.expected)} jobs, {self.expected.total()} runs")

    def close(self):
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)  # the processes that it started too
                worker.wait()
        self.ledger.close()
        self.redis.close()

    def logs(self):
        return "".join(path.read_text(errors="replace") for path in sorted(self.directory.glob("worker-*.log")))


@pytest.fixture(params=["server", "valkey_server"], ids=["on-verbena", "on-valkey"])
def deployment(request, tmp_path, monkeypatch):
    server = request.getfixturevalue(request.param)
    flush(server)
    with contextlib.closing(Deployment(server, tmp_path)) as deployment:
        for name, value in deployment.environment().items():
            monkeypatch.setenv(name, value)
        yield deployment
        print(deployment.logs()[-4000:])
