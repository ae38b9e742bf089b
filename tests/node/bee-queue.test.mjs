// bee-queue: several workers, retries, delays and events; nothing is lost, nothing runs twice.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { BeeQueue, programs, start } from "./server.mjs";
import { Account, TIMEOUT_MS } from "./users.mjs";

const WORKERS = 3;

for (const [name, program] of Object.entries(programs)) {
  describe(`${name}, bee-queue`, { timeout: TIMEOUT_MS }, () => {
    const opened = [];
    let server;

    before(async () => (server = await start(program)));

    after(async () => {
      await Promise.all(opened.map((queue) => queue.close()));
      await server.stop();
    });

    const open = (options) => {
      const queue = new BeeQueue("jobs", { redis: { host: "127.0.0.1", port: server.port }, activateDelayedJobs: true, ...options });
      opened.push(queue);
      return queue;
    };

    it("runs every job as often as it must", async (test) => {
      const account = new Account();
      const producer = open({ isWorker: false });
      const workers = Array.from({ length: WORKERS }, () => open({ getEvents: false }));
      for (const worker of workers) {
        worker.process(5, async ({ data: { number, kind } }) => {
          const runs = account.ran(number);
          if (kind === "fail" || (kind === "fail at first" && runs < 3)) throw new Error("not yet");
          return number * 2;
        });
      }
      const succeeded = new Map();
      const failed = new Set();
      let ended;
      const end = new Promise((resolve) => (ended = resolve));
      let jobs = Infinity;
      const look = () => succeeded.size + failed.size >= jobs && ended();
      let failing = 0;
      const save = (number, kind, change = (job) => job) => {
        const job = change(producer.createJob({ number, kind }));
        job.on("succeeded", (result) => succeeded.set(number, result) && look());
        job.on("failed", () => failed.add(number) && look());
        return job.save();
      };
      const kinds = {
        3: async (number) => {
          account.expect(number, 3);
          await save(number, "fail at first", (job) => job.retries(3).backoff("fixed", 5));
        },
        5: async (number) => {
          account.expect(number, 2);
          failing += 1;
          await save(number, "fail", (job) => job.retries(1));
        },
        7: async (number) => {
          account.expect(number, 1, 500);
          await save(number, "delayed", (job) => job.delayUntil(Date.now() + 500));
        },
        9: async (number) => {
          account.expect(number);
          await save(number, "unique", (job) => job.setId(`unique-${number}`));
          await producer.createJob({ number }).setId(`unique-${number}`).save();
        },
      };
      const plain = async (number) => {
        account.expect(number);
        await save(number, "plain");
      };
      for await (const number of account.numbers()) await (kinds[number % 50] ?? plain)(number);
      await account.done();
      jobs = account.size;
      look();
      await end;
      await Promise.all(workers.map((worker) => worker.close()));
      assert.deepEqual(account.wrong, []);
      assert.deepEqual(account.early, []);
      assert.deepEqual([succeeded.size, failed.size], [account.size - failing, failing]);
      for (const [number, result] of succeeded) assert.equal(result, number * 2);
      const health = await producer.checkHealth();
      assert.deepEqual([health.waiting, health.active, health.delayed], [0, 0, 0]);
      assert.deepEqual([health.succeeded, health.failed], [account.size - failing, failing]);
      test.diagnostic(`${account.size} jobs`);
    });
  });
}
