// Transactions and pipelines, with ioredis and with node-redis.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";

import { createClient, programs, Redis, start, WatchError } from "./server.mjs";

for (const [name, program] of Object.entries(programs)) {
  describe(`${name}, ioredis`, () => {
    let server, redis, other;

    before(async () => {
      server = await start(program);
      [redis, other] = [new Redis(server.port), new Redis(server.port)];
    });

    after(async () => {
      redis.disconnect();
      other.disconnect();
      await server.stop();
    });

    beforeEach(() => redis.flushall());

    it("executes a chain", async () => {
      const replies = await redis.multi().set("a", 1).incr("a").get("a").lrange("none", 0, -1).exec();
      assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, "2"], [null, []]]);
    });

    it("sends commands one by one where it is told to", async () => {
      await redis.multi({ pipeline: false });
      assert.equal(await redis.set("a", 1), "QUEUED");
      assert.equal(await redis.incr("a"), "QUEUED");
      assert.equal(await other.exists("a"), 0);
      assert.deepEqual(await redis.exec(), [[null, "OK"], [null, 2]]);
    });

    it("tells which command failed, and executes the others", async () => {
      const replies = await redis.multi().set("a", "text").incr("a").set("b", 1).exec();
      assert.deepEqual([replies[0], replies[2]], [[null, "OK"], [null, "OK"]]);
      assert.match(replies[1][0].message, /not an integer/);
      assert.equal(await redis.get("b"), "1");
    });

    it("rejects a transaction that could not be queued", async () => {
      await assert.rejects(redis.multi().set("a", 1).call("NOSUCH").exec(), /EXECABORT/);
      assert.equal(await redis.exists("a"), 0);
    });

    it("discards", async () => {
      await redis.multi({ pipeline: false });
      await redis.set("a", 1);
      assert.equal(await redis.discard(), "OK");
      assert.equal(await redis.exists("a"), 0);
    });

    it("watches", async () => {
      await redis.watch("a", "b");
      await other.set("b", 1);
      assert.equal(await redis.multi().set("c", 1).exec(), null);
      await redis.watch("a");
      await other.set("b", 2);
      assert.deepEqual(await redis.multi().set("c", 1).exec(), [[null, "OK"]]);
      await redis.watch("a");
      await other.set("a", 1);
      await redis.unwatch();
      assert.deepEqual(await redis.multi().get("c").exec(), [[null, "1"]]);
    });

    it("mixes transactions into a pipeline", async () => {
      const replies = await redis.pipeline().set("a", 1).multi().incr("a").incr("a").exec().get("a").exec();
      assert.deepEqual(replies, [
        [null, "OK"], [null, "OK"], [null, "QUEUED"], [null, "QUEUED"], [null, [2, 3]], [null, "3"],
      ]);
    });

    it("executes a long one", async () => {
      const chain = redis.multi();
      for (let i = 0; i < 5000; i++) chain.rpush("l", i);
      const replies = await chain.exec();
      assert.deepEqual([replies.length, replies.at(-1)], [5000, [null, 5000]]);
    });
  });

  for (const RESP of [2, 3]) {
    describe(`${name}, node-redis with RESP${RESP}`, () => {
      let server, redis, other;

      before(async () => {
        server = await start(program);
        const connect = () => createClient({ socket: { host: "127.0.0.1", port: server.port }, RESP }).connect();
        [redis, other] = [await connect(), await connect()];
      });

      after(async () => {
        await redis.close();
        await other.close();
        await server.stop();
      });

      beforeEach(() => redis.flushAll());

      it("has strings, hashes, lists, sets and sorted sets", async () => {
        assert.equal(await redis.set("a", "1", { EX: 100 }), "OK");
        assert.equal(await redis.incr("a"), 2);
        assert.ok((await redis.ttl("a")) > 90);
        assert.equal(await redis.hSet("h", { name: "Ada", born: "1815" }), 2);
        assert.deepEqual({ ...(await redis.hGetAll("h")) }, { name: "Ada", born: "1815" });
        await redis.rPush("l", ["a", "b", "c"]);
        assert.deepEqual(await redis.lRange("l", 0, -1), ["a", "b", "c"]);
        await redis.sAdd("s", ["x", "y"]);
        assert.deepEqual([...(await redis.sMembers("s"))].sort(), ["x", "y"]);
        await redis.zAdd("z", [{ value: "a", score: 1 }, { value: "b", score: 2.5 }]);
        assert.deepEqual(await redis.zRangeWithScores("z", 0, -1), [{ value: "a", score: 1 }, { value: "b", score: 2.5 }]);
        const found = [];
        for await (const keys of redis.scanIterator()) found.push(...keys);
        assert.deepEqual(found.sort(), ["a", "h", "l", "s", "z"]);
      });

      it("executes a chain", async () => {
        assert.deepEqual(await redis.multi().set("a", "1").incr("a").get("a").exec(), ["OK", 2, "2"]);
        assert.deepEqual(await redis.multi().ping().execAsPipeline(), ["PONG"]);
      });

      it("tells which command failed, and executes the others", async () => {
        const chain = redis.multi().set("a", "text").incr("a").set("b", "1");
        await assert.rejects(chain.exec(), (error) => /not an integer/.test(error.errorIndexes && error.replies[1].message));
        assert.equal(await redis.get("b"), "1");
      });

      it("rejects a transaction that could not be queued", async () => {
        await assert.rejects(redis.multi().set("a", "1").addCommand(["NOSUCH"]).exec(), /NOSUCH|EXECABORT/);
        assert.equal(await redis.exists("a"), 0);
      });

      it("watches", async () => {
        await redis.watch("a");
        await other.set("a", "1");
        await assert.rejects(redis.multi().set("b", "1").exec(), WatchError);
        assert.equal(await redis.exists("b"), 0);
        await redis.watch(["a", "b"]);
        assert.deepEqual(await redis.multi().incr("a").exec(), [2]);
      });

      it("sends what is called at the same time in one pipeline", async () => {
        const numbers = await Promise.all([...Array(2000).keys()].map(() => redis.incr("counter")));
        assert.deepEqual(numbers, [...Array(2000).keys()].map((i) => i + 1));
      });
    });
  }
}
