// Scripts that ioredis and node-redis define as commands: transfers between accounts, whose total never changes.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";

import { createClient, defineScript, programs, Redis, start } from "./server.mjs";
import { numbers, TIMEOUT_MS } from "./users.mjs";

const ACCOUNTS = Array.from({ length: 20 }, (_, number) => `account-${number}`);
const EACH = 1_000;
const CLIENTS = 3;

const TRANSFER = `
local amount = tonumber(ARGV[1])
if tonumber(redis.call("GET", KEYS[1])) < amount then return redis.error_reply("POOR " .. KEYS[1]) end
redis.call("DECRBY", KEYS[1], amount)
redis.call("RPUSH", KEYS[3], cjson.encode({KEYS[1], KEYS[2], amount}))
return redis.call("INCRBY", KEYS[2], amount)`;
const TOTAL = `
local sum = 0
for _, key in ipairs(KEYS) do sum = sum + redis.call("GET", key) end
return sum`;

const scripts = {
  transfer: defineScript({
    SCRIPT: TRANSFER,
    NUMBER_OF_KEYS: 3,
    parseCommand: (parser, from, to, log, amount) => {
      for (const key of [from, to, log]) parser.pushKey(key);
      parser.push(String(amount));
    },
    transformReply: (reply) => reply,
  }),
  total: defineScript({
    SCRIPT: TOTAL,
    NUMBER_OF_KEYS: ACCOUNTS.length,
    IS_READ_ONLY: true,
    parseCommand: (parser, ...keys) => keys.forEach((key) => parser.pushKey(key)),
    transformReply: (reply) => reply,
  }),
};

const libraries = {
  ioredis: async (port) => {
    const redis = new Redis(port);
    redis.defineCommand("transfer", { numberOfKeys: 3, lua: TRANSFER });
    redis.defineCommand("total", { lua: TOTAL, readOnly: true });
    await once(redis, "ready");
    return {
      redis,
      total: () => redis.total(ACCOUNTS.length, ...ACCOUNTS),
      flush: () => redis.script("FLUSH"),
      together: async (moves) => {
        const pipeline = redis.pipeline();
        for (const move of moves) pipeline.transfer(...move);
        return (await pipeline.exec()).map(([error, value]) => error ?? value);
      },
      end: () => redis.quit(),
    };
  },
  "node-redis": async (port) => {
    const redis = await createClient({ socket: { host: "127.0.0.1", port }, scripts }).connect();
    return {
      redis,
      total: () => redis.total(...ACCOUNTS),
      flush: () => redis.scriptFlush(),
      together: async (moves) =>
        (await Promise.allSettled(moves.map((move) => redis.transfer(...move)))).map(({ value, reason }) => reason ?? value),
      end: () => redis.close(),
    };
  },
};

const random = (below) => Math.floor(Math.random() * below);

for (const [name, program] of Object.entries(programs)) {
  for (const [library, connect] of Object.entries(libraries)) {
    describe(`${name}, scripts of ${library}`, { timeout: TIMEOUT_MS }, () => {
      let server, clients;

      before(async () => {
        server = await start(program);
        clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(server.port)));
      });

      after(async () => {
        await Promise.all(clients.map(({ end }) => end()));
        await server.stop();
      });

      it("keep the total of all accounts", async (test) => {
        const [{ redis, flush }] = clients;
        for (const account of ACCOUNTS) await redis.set(account, EACH);
        let [done, poor, flushed] = [0, 0, 0];
        const move = () => {
          const from = random(ACCOUNTS.length);
          const to = (from + 1 + random(ACCOUNTS.length - 1)) % ACCOUNTS.length;
          return [ACCOUNTS[from], ACCOUNTS[to], "transfers", 1 + random(EACH)];
        };
        const count = (replies) => {
          for (const reply of replies) {
            if (!(reply instanceof Error)) done += 1;
            else if (reply.message.startsWith("POOR account-")) poor += 1;
            else if (reply.message.startsWith("NOSCRIPT")) flushed += 1;
            else throw reply;
          }
        };
        const work = async ({ total, together }, client) => {
          for (const number of numbers()) {
            count(await together(Array.from({ length: 1 + random(10) }, move)));
            if (client === 0 && number % 50 === 25) await flush();
            else assert.equal(await total(), ACCOUNTS.length * EACH);
          }
        };
        await Promise.all(clients.map(work));
        const left = (await Promise.all(ACCOUNTS.map((account) => redis.get(account)))).map(Number);
        assert.equal(left.reduce((sum, value) => sum + value, 0), ACCOUNTS.length * EACH);
        assert.ok(left.every((value) => value >= 0));
        assert.equal(Number(await clients[1].redis[library === "ioredis" ? "llen" : "lLen"]("transfers")), done);
        assert.ok(done > 100);
        test.diagnostic(`${done} transfers, ${poor} refused, ${flushed} without their script`);
      });
    });
  }
}
