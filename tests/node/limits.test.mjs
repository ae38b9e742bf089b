// rate-limiter-flexible, with ioredis and with node-redis: several limiters share their keys, and count exactly.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";

import { createClient, limiters, programs, Redis, start } from "./server.mjs";
import { numbers, TIMEOUT_MS } from "./users.mjs";

const { BurstyRateLimiter, RateLimiterQueue, RateLimiterRedis, RateLimiterRes } = limiters;
const CLIENTS = 3;
const POINTS = 50;

const libraries = {
  ioredis: async (port) => {
    const redis = new Redis(port);
    await once(redis, "ready");
    return { options: { storeClient: redis }, end: () => redis.quit() };
  },
  "node-redis": async (port) => {
    const redis = await createClient({ socket: { host: "127.0.0.1", port } }).connect();
    return { options: { storeClient: redis, useRedisPackage: true }, end: () => redis.close() };
  },
};

/** Whether each of the tries was granted; anything but a refusal is an error. */
const granted = async (tries) => {
  const outcomes = await Promise.allSettled(tries);
  for (const { status, reason } of outcomes) if (status === "rejected" && !(reason instanceof RateLimiterRes)) throw reason;
  return outcomes.filter(({ status }) => status === "fulfilled").length;
};

for (const [name, program] of Object.entries(programs)) {
  for (const [library, connect] of Object.entries(libraries)) {
    describe(`${name}, rate-limiter-flexible with ${library}`, { timeout: TIMEOUT_MS * 4 }, () => {
      let server, clients;

      before(async () => {
        server = await start(program);
        clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(server.port)));
      });

      after(async () => {
        await Promise.all(clients.map(({ end }) => end()));
        await server.stop();
      });

      const share = (options) => clients.map((client) => new RateLimiterRedis({ ...client.options, ...options }));

      it("grants as many as it must", async (test) => {
        const shared = share({ keyPrefix: "fixed", points: POINTS, duration: 3600 });
        let users = 0;
        for (const number of numbers()) {
          const user = `user-${number}`;
          const tries = Array.from({ length: 2 * POINTS }, (_, index) => shared[index % CLIENTS].consume(user));
          assert.equal(await granted(tries), POINTS);
          const { consumedPoints, remainingPoints, msBeforeNext } = await shared[0].get(user);
          assert.deepEqual([consumedPoints, remainingPoints], [2 * POINTS, 0]);
          assert.ok(msBeforeNext > 3_500_000 && msBeforeNext <= 3_600_000, `${msBeforeNext}`);
          await shared[1].reward(user, POINTS + 3);
          assert.equal(await granted([1, 2, 3, 4].map((index) => shared[index % CLIENTS].consume(user))), 3);
          users += 1;
        }
        test.diagnostic(`${users} users`);
      });

      it("blocks, penalizes and forgets", async () => {
        const [one, two] = share({ keyPrefix: "blocking", points: 5, duration: 3600, blockDuration: 7200 });
        assert.equal(await granted(Array.from({ length: 7 }, () => one.consume("user"))), 5);
        const refused = await two.consume("user").catch((reason) => reason);
        assert.ok(refused.msBeforeNext > 7_100_000, `${refused.msBeforeNext}`);
        assert.equal(await one.delete("user"), true);
        await two.penalty("user", 4);
        assert.equal(await granted([one.consume("user"), two.consume("user")]), 1);
      });

      it("grants as many in each window", async (test) => {
        const [one] = share({ keyPrefix: "short", points: POINTS, duration: 1 });
        const [burst] = share({ keyPrefix: "burst", points: POINTS, duration: 1 });
        const bursty = new BurstyRateLimiter(one, burst);
        const times = [];
        for (const _ of numbers()) {
          const before = performance.now();
          if ((await granted([bursty.consume("everybody")])) === 1) times.push([before, performance.now()]);
        }
        // Each limiter begins a window with the first request after the end of the one before.
        const windows = (times.at(-1)[1] - times[0][0]) / 1000;
        assert.ok(times.length <= 2 * POINTS * (1 + Math.floor(windows)), `${times.length} in ${windows} windows`);
        // Half of them would do where this process had to wait for its turn.
        assert.ok(times.length >= POINTS * Math.floor(windows), `${times.length} in ${windows} windows`);
        test.diagnostic(`${times.length} requests in ${windows.toFixed(1)} windows`);
      });

      it("lets a queue through at its pace", async (test) => {
        const [limiter] = share({ keyPrefix: "queue", points: POINTS, duration: 1 });
        const queue = new RateLimiterQueue(limiter, { maxQueueSize: 1000 });
        const order = [];
        const start = performance.now();
        await Promise.all(Array.from({ length: 2 * POINTS + 1 }, (_, index) => queue.removeTokens(1, "one").then(() => order.push(index))));
        assert.deepEqual(order, Array.from({ length: 2 * POINTS + 1 }, (_, index) => index));
        const took = performance.now() - start;
        assert.ok(took >= 1000, `${took} ms`);
        test.diagnostic(`${order.length} tokens in ${took.toFixed(0)} ms`);
      });
    });
  }
}
