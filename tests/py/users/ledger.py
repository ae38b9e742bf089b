"""Where jobs report that they run, without the server that is under test: lines in a FIFO, one per run.

Worker processes import this for their jobs, so that it needs nothing of the tests.
"""

import os
import threading
import time
from collections import Counter, defaultdict

LEDGER = "VERBENA_USERS_LEDGER"
PORT = "VERBENA_USERS_PORT"
FINISH_SECONDS = 60
LOOK_SECONDS = 0.5

_pipe = None


def url(database=0):
    """Where the server is."""
    return f"redis://127.0.0.1:{os.environ[PORT]}/{database}"


def record(name):
    """Reports a job's run that begins. A line is short enough for the FIFO to take it whole."""
    global _pipe
    if _pipe is None:
        _pipe = os.open(os.environ[LEDGER], os.O_WRONLY)
    os.write(_pipe, f"{name} {time.time()}\n".encode())


class Ledger:
    """The runs of all jobs, as the workers report them."""

    def __init__(self, directory):
        self.path = str(directory / "ledger")
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        self.kept_open = os.open(self.path, os.O_WRONLY)
        self.times = defaultdict(list)
        self.runs = 0
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.follow, args=[reader], daemon=True)
        self.thread.start()

    def follow(self, reader):
        with open(reader, encoding="ascii") as lines:
            for line in lines:
                name, at = line.split()
                with self.changed:
                    self.times[name].append(float(at))
                    self.runs += 1
                    self.changed.notify_all()

    def wait_for(self, runs, check):
        """Waits for so many runs; `check` fails where no more will come."""
        end = time.monotonic() + FINISH_SECONDS
        with self.changed:
            while not self.changed.wait_for(lambda: self.runs >= runs, LOOK_SECONDS):
                check()
                assert time.monotonic() < end, f"{self.runs} runs of {runs}"

    def close(self):
        """Ends when every worker has: until then one of them may report a run."""
        if self.kept_open is not None:
            os.close(self.kept_open)
            self.kept_open = None
            self.thread.join(FINISH_SECONDS)
            assert not self.thread.is_alive(), "a process that the workers started has not ended"

    def counts(self):
        return Counter({name: len(times) for name, times in self.times.items()})
