"""Scripts that redis-py registers, and functions: transfers between accounts, whose total is the same at any time."""

import asyncio
import contextlib
import random
import threading

import redis
import redis.asyncio
from deployment import deployment, seconds  # noqa: F401
from redis.exceptions import NoScriptError

ACCOUNTS = 20
EACH = 1_000

TRANSFER = """
local from, to, amount = KEYS[1], KEYS[2], tonumber(ARGV[1])
if tonumber(redis.call('GET', from)) < amount then
  return redis.error_reply('POOR ' .. from)
end
redis.call('DECRBY', from, amount)
redis.call('RPUSH', KEYS[3], cjson.encode({from = from, to = to, amount = amount}))
return redis.call('INCRBY', to, amount)
"""
TOTAL = "local sum = 0 for _, key in ipairs(KEYS) do sum = sum + redis.call('GET', key) end return {sum}"
LIBRARY = f"""#!lua name=bank
local function transfer(KEYS, ARGV) {TRANSFER} end
local function total(KEYS, ARGV) {TOTAL} end
redis.register_function('transfer', transfer)
redis.register_function{{function_name = 'total', callback = total, flags = {{'no-writes'}}}}
"""
NAMES = [f"account-{number}" for number in range(ACCOUNTS)]


def again(total):
    """The total; redis-py loads a missing script once, after which another client may have flushed it again."""
    while True:
        with contextlib.suppress(NoScriptError):
            return total(NAMES)


class Bank:
    def __init__(self, port):
        self.port = port
        self.done = 0
        self.poor = 0
        self.flushed = 0
        self.lock = threading.Lock()
        self.errors = []

    def count(self, replies):
        """Transfers that were made, and those that failed as they should: of a poor account, or of a flushed script."""
        failed = [reply for reply in replies if isinstance(reply, Exception)]
        flushed = [error for error in failed if isinstance(error, NoScriptError)]
        for error in failed:
            assert error in flushed or isinstance(error, redis.ResponseError) and "POOR account-" in str(error), error
        with self.lock:
            self.flushed += len(flushed)
            self.poor += len(failed) - len(flushed)
            self.done += len(replies) - len(failed)

    def random(self):
        return [*random.sample(NAMES, 2), "transfers"], [random.randint(1, EACH)]

    def script(self, client, transfer, total):
        for number in seconds():
            keys, arguments = self.random()
            try:
                self.count([transfer(keys, arguments)])
            except redis.ResponseError as error:
                self.count([error])
            assert again(total)[0] == ACCOUNTS * EACH
            if number % 200 == 100:
                client.script_flush()

    def pipelines(self, client, transfer, total):
        for number in seconds():
            with client.pipeline(transaction=number % 2 == 0) as pipeline:
                for _ in range(10):
                    transfer(*self.random(), client=pipeline)
                self.count(pipeline.execute(raise_on_error=False))
            assert again(total)[0] == ACCOUNTS * EACH

    def functions(self, client, _transfer, _total):
        for _ in seconds():
            keys, arguments = self.random()
            try:
                self.count([client.fcall("transfer", 3, *keys, *arguments)])
            except redis.ResponseError as error:
                self.count([error])
            assert client.fcall_ro("total", ACCOUNTS, *NAMES)[0] == ACCOUNTS * EACH

    def asynchronous(self, *_):
        async def main():
            client = redis.asyncio.Redis(port=self.port)
            transfer, total = client.register_script(TRANSFER), client.register_script(TOTAL)
            for _ in seconds():
                moves = [transfer(*self.random()) for _ in range(5)]
                self.count(await asyncio.gather(*moves, return_exceptions=True))
                with contextlib.suppress(NoScriptError):
                    assert (await total(NAMES))[0] == ACCOUNTS * EACH
            await client.aclose()

        asyncio.run(main())

    def work(self, kind):
        try:
            with redis.Redis(port=self.port) as client:
                kind(client, client.register_script(TRANSFER), client.register_script(TOTAL))
        except Exception as error:  # A thread's failure is the test's.
            self.errors.append(error)


def test_transfers(deployment):  # noqa: F811
    client = deployment.redis
    client.mset(dict.fromkeys(NAMES, EACH))
    client.function_load(LIBRARY, replace=True)
    bank = Bank(deployment.port)
    kinds = (bank.script, bank.pipelines, bank.functions, bank.asynchronous)
    threads = [threading.Thread(target=bank.work, args=[kind]) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bank.errors == []
    assert client.llen("transfers") == bank.done > 100
    assert sum(int(client.get(name)) for name in NAMES) == ACCOUNTS * EACH
    assert all(int(client.get(name)) >= 0 for name in NAMES)
    client.function_delete("bank")
    print(f"{bank.done} transfers, {bank.poor} refused, {bank.flushed} without their script")
