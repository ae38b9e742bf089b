// redlock: one holder at a time, over one server and over three, with extensions.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";

import { programs, Redis, Redlock, start } from "./server.mjs";
import { numbers, TIMEOUT_MS } from "./users.mjs";

const HOLDERS = 4;
const settings = { retryCount: -1, retryDelay: 2, retryJitter: 2, automaticExtensionThreshold: 200 };

for (const [name, program] of Object.entries(programs)) {
  for (const servers of [1, 3]) {
    describe(`${name}, redlock over ${servers}`, { timeout: TIMEOUT_MS * 2 }, () => {
      let running, clients;

      before(async () => {
        running = await Promise.all(Array.from({ length: servers }, () => start(program)));
        clients = running.map(({ port }) => new Redis(port));
        await Promise.all(clients.map((client) => once(client, "ready")));
      });

      after(async () => {
        for (const client of clients) client.disconnect();
        await Promise.all(running.map(({ stop }) => stop()));
      });

      it("has one holder at a time", async (test) => {
        let inside = 0;
        let value = 0;
        let held = 0;
        const work = async (holder) => {
          const redlock = new Redlock(clients, settings);
          for (const number of numbers()) {
            const resources = holder % 2 ? ["one", "two"] : ["two", "three"];
            let lock = await redlock.acquire(resources, 10_000);
            assert.equal((inside += 1), 1);
            const before = value;
            if (number % 5 === 0) lock = await lock.extend(10_000);
            await setImmediate();
            value = before + 1;
            held += 1;
            inside -= 1;
            await lock.release();
          }
        };
        await Promise.all(Array.from({ length: HOLDERS }, (_, holder) => work(holder)));
        assert.equal(value, held);
        assert.ok(held > 10);
        for (const client of clients) assert.equal(await client.dbsize(), 0);
        test.diagnostic(`held ${held} times`);
      });

      it("extends a lock that is used for longer, and refuses others meanwhile", async () => {
        const holder = new Redlock(clients, settings);
        const other = new Redlock(clients, { ...settings, retryCount: 0 });
        const end = performance.now() + 900;
        await holder.using(["used"], 400, async (signal) => {
          while (performance.now() < end) {
            await assert.rejects(other.acquire(["used"], 400), /quorum|unable to achieve/i);
            assert.equal(signal.aborted, false);
          }
        });
        const lock = await other.acquire(["used"], 400);
        await lock.release();
        await assert.rejects(lock.release(), /quorum|unable to achieve/i);
      });
    });
  }
}
