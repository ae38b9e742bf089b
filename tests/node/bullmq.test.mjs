// BullMQ: several workers, retries, delays, priorities, flows and a rate limit; nothing is lost, nothing runs twice.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { bullmq, programs, start } from "./server.mjs";
import { Account, numbers, TIMEOUT_MS } from "./users.mjs";

const { FlowProducer, Queue, QueueEvents, Worker } = bullmq;
const WORKERS = 3;

for (const [name, program] of Object.entries(programs)) {
  describe(`${name}, BullMQ`, { timeout: TIMEOUT_MS * 3 }, () => {
    const opened = [];
    let server, connection;

    before(async () => {
      server = await start(program);
      connection = { host: "127.0.0.1", port: server.port };
    });

    after(async () => {
      await close(opened);
      await server.stop();
    });

    const open = (thing) => {
      opened.push(thing);
      return thing;
    };
    const startWorkers = (queue, work, options = {}) =>
      Array.from({ length: WORKERS }, () => open(new Worker(queue, work, { connection, concurrency: 5, ...options })));
    const close = (things) => Promise.all(things.map((thing) => thing.close()));

    it("runs every job as often as it must", { timeout: TIMEOUT_MS }, async (test) => {
      const account = new Account();
      const queue = open(new Queue("jobs", { connection }));
      const results = new Map();
      const workers = startWorkers("jobs", async ({ name, data: { number }, attemptsMade }) => {
        account.ran(number);
        if (name === "fail" || (name === "fail at first" && attemptsMade < 2)) throw new Error("not yet");
        return number * 2;
      });
      for (const worker of workers) worker.on("completed", ({ data }, result) => results.set(data.number, result));
      let failing = 0;
      const kinds = {
        3: async (number) => {
          account.expect(number, 3);
          await queue.add("fail at first", { number }, { attempts: 4, backoff: { type: "exponential", delay: 5 } });
        },
        5: async (number) => {
          account.expect(number, 2);
          failing += 1;
          await queue.add("fail", { number }, { attempts: 2 });
        },
        7: async (number) => {
          account.expect(number, 1, 500);
          await queue.add("delayed", { number }, { delay: 500 });
        },
        9: async (number) => {
          account.expect(number);
          await queue.add("important", { number }, { priority: 1 + (number % 5) });
        },
        11: async (number) => {
          account.expect(number);
          await Promise.all([1, 2].map(() => queue.add("unique", { number }, { jobId: `unique-${number}` })));
        },
        13: async (number) => {
          const jobs = Array.from({ length: 50 }, (_, index) => ({ name: "bulk", data: { number: number + (index + 1) / 100 } }));
          for (const { data } of jobs) account.expect(data.number);
          await queue.addBulk(jobs);
        },
      };
      const plain = async (number) => {
        account.expect(number);
        await queue.add("plain", { number });
      };
      for await (const number of account.numbers()) await (kinds[number % 50] ?? plain)(number);
      await account.done();
      await close(workers);
      assert.deepEqual(account.wrong, []);
      assert.deepEqual(account.early, []);
      const { completed, failed, ...others } = await queue.getJobCounts();
      assert.deepEqual([completed, failed], [account.size - failing, failing]);
      assert.deepEqual(Object.values(others).filter((count) => count !== 0), []);
      assert.equal(results.size, account.size - failing);
      for (const [number, result] of results) assert.equal(result, number * 2);
      test.diagnostic(`${account.size} jobs`);
      await queue.obliterate();
    });

    it("runs the children of a flow before their parent", { timeout: TIMEOUT_MS }, async (test) => {
      const account = new Account();
      const flows = open(new FlowProducer({ connection }));
      const workers = [
        ...startWorkers("children", async ({ data: { number, index } }) => {
          account.ran(`${number}-${index}`);
          return index;
        }),
        ...startWorkers("parents", async (job) => {
          account.ran(job.data.number);
          assert.deepEqual(Object.values(await job.getChildrenValues()).sort(), [0, 1, 2]);
        }),
      ];
      const wrong = [];
      for (const worker of workers) worker.on("failed", (_, error) => wrong.push(error));
      for await (const number of account.numbers()) {
        account.expect(number);
        for (const index of [0, 1, 2]) account.expect(`${number}-${index}`);
        const children = [0, 1, 2].map((index) => ({ name: "child", data: { number, index }, queueName: "children" }));
        await flows.add({ name: "parent", data: { number }, queueName: "parents", children });
      }
      await account.done();
      await close(workers);
      assert.deepEqual(wrong, []);
      assert.deepEqual(account.wrong, []);
      test.diagnostic(`${account.size} jobs`);
    });

    it("keeps to its rate limit, and tells of every job", { timeout: TIMEOUT_MS }, async (test) => {
      const [MAX, DURATION_MS] = [20, 200];
      const queue = open(new Queue("limited", { connection }));
      const events = open(new QueueEvents("limited", { connection }));
      await events.waitUntilReady();
      const told = [];
      events.on("completed", ({ jobId }) => told.push(jobId));
      const times = [];
      const workers = startWorkers("limited", async () => times.push(performance.now()), { limiter: { max: MAX, duration: DURATION_MS } });
      let jobs = 0;
      for (const _ of numbers()) {
        const batch = await queue.addBulk(Array.from({ length: MAX / 2 }, () => ({ name: "limited", data: {} })));
        await Promise.all(batch.map((job) => job.waitUntilFinished(events)));
        jobs += batch.length;
      }
      await close(workers);
      assert.equal(times.length, jobs);
      assert.equal(new Set(told).size, jobs);
      assert.equal(told.length, jobs);
      // Windows follow each other, so that no more than two of them begin in one duration.
      const most = Math.max(...times.map((time) => times.filter((other) => other >= time && other < time + DURATION_MS).length));
      assert.ok(most <= 2 * MAX, `${most} jobs in ${DURATION_MS} ms`);
      assert.ok(jobs <= MAX * (1 + Math.ceil((times.at(-1) - times[0]) / DURATION_MS)), `${jobs} jobs`);
      test.diagnostic(`${jobs} jobs, at most ${most} in ${DURATION_MS} ms`);
    });
  });
}
