// Each type in ordinary use, with ioredis.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";

import { programs, Redis, start } from "./server.mjs";

const PATIENCE_MS = 20_000;

async function until(condition) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) assert.ok(Date.now() < deadline, "it does not come true");
}

for (const [name, program] of Object.entries(programs)) {
  describe(name, () => {
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

    /** Waits until the other client's command blocks. */
    const isBlocked = () => until(async () => /blocked_clients:1\r/.test(await redis.info("clients")));

    it("has lists", async () => {
      assert.equal(await redis.rpush("l", "a", "b", "c"), 3);
      assert.equal(await redis.linsert("l", "BEFORE", "b", "ab"), 4);
      assert.deepEqual(await redis.lrange("l", 0, -1), ["a", "ab", "b", "c"]);
      assert.equal(await redis.lpos("l", "b"), 2);
      assert.equal(await redis.lmove("l", "m", "LEFT", "LEFT"), "a");
      assert.deepEqual(await redis.lmpop(2, "none", "l", "RIGHT", "COUNT", 2), ["l", ["c", "b"]]);
      assert.equal(await redis.lrem("l", 0, "ab"), 1);
      assert.equal(await redis.exists("l"), 0);
      await redis.rpush("long", ...Array(3000).keys());
      assert.equal(await redis.ltrim("long", 100, -101), "OK");
      assert.deepEqual([await redis.llen("long"), await redis.lindex("long", -1)], [2800, "2899"]);
    });

    it("has hashes, whose fields may expire", async () => {
      assert.equal(await redis.hset("h", { name: "Ada", born: 1815 }), 2);
      assert.deepEqual(await redis.hgetall("h"), { name: "Ada", born: "1815" });
      assert.equal(await redis.hincrby("h", "born", 1), 1816);
      assert.equal(await redis.hincrbyfloat("h", "height", 1.5), "1.5");
      assert.deepEqual(await redis.hmget("h", "name", "none"), ["Ada", null]);
      assert.equal(await redis.hdel("h", "height", "none"), 1);
      assert.deepEqual(await redis.call("HEXPIRE", "h", 100, "FIELDS", 2, "born", "none"), [1, -2]);
      const [left] = await redis.call("HTTL", "h", "FIELDS", 1, "born");
      assert.ok(left > 90 && left <= 100);
      assert.deepEqual(await redis.call("HPEXPIRE", "h", 1, "FIELDS", 1, "name"), [1]);
      await until(async () => (await redis.hget("h", "name")) === null);
      assert.deepEqual(await redis.hkeys("h"), ["born"]);
      await redis.hset("big", Object.fromEntries([...Array(2000).keys()].map((i) => [`field:${i}`, i])));
      const found = new Map();
      for await (const batch of redis.hscanStream("big", { count: 100 })) {
        for (let i = 0; i < batch.length; i += 2) found.set(batch[i], Number(batch[i + 1]));
      }
      assert.deepEqual([found.size, found.get("field:1999")], [2000, 1999]);
    });

    it("has sets", async () => {
      assert.equal(await redis.sadd("s", 1, 2, "three"), 3);
      assert.equal(await redis.sadd("t", 2, "three", 9), 3);
      assert.deepEqual((await redis.sinter("s", "t")).sort(), ["2", "three"]);
      assert.deepEqual((await redis.sunion("s", "t")).sort(), ["1", "2", "9", "three"]);
      assert.equal(await redis.sdiffstore("d", "s", "t"), 1);
      assert.equal(await redis.spop("d"), "1");
      assert.deepEqual(await redis.smismember("s", 1, "none"), [1, 0]);
      assert.equal(await redis.smove("s", "t", 1), 1);
      assert.equal(await redis.sintercard(2, "s", "t", "LIMIT", 1), 1);
      await redis.sadd("big", ...Array(5000).keys());
      const found = new Set();
      for await (const batch of redis.sscanStream("big")) batch.forEach((member) => found.add(member));
      assert.equal(found.size, 5000);
    });

    it("has sorted sets", async () => {
      assert.equal(await redis.zadd("z", 1, "a", 2.5, "b", "-inf", "c"), 3);
      assert.equal(await redis.zadd("z", "GT", "CH", 0, "a", 3, "b"), 1);
      assert.deepEqual(await redis.zrange("z", 0, -1, "WITHSCORES"), ["c", "-inf", "a", "1", "b", "3"]);
      assert.deepEqual(await redis.zrange("z", "(1", "+inf", "BYSCORE"), ["b"]);
      assert.equal(await redis.zrank("z", "b"), 2);
      assert.equal(await redis.zincrby("z", 0.25, "a"), "1.25");
      await redis.zadd("y", 10, "a");
      assert.equal(await redis.zunionstore("sum", 2, "z", "y", "WEIGHTS", 2, 1), 3);
      assert.equal(await redis.zscore("sum", "a"), "12.5");
      assert.deepEqual(await redis.zpopmax("sum"), ["a", "12.5"]);
      assert.equal(await redis.zremrangebyscore("z", "-inf", 0), 1);
      assert.deepEqual(await redis.zmpop(1, "z", "MIN"), ["z", [["a", "1.25"]]]);
      await redis.zadd("big", ...[...Array(3000).keys()].flatMap((i) => [i, `member:${i}`]));
      assert.equal(await redis.zrevrank("big", "member:0"), 2999);
      assert.equal(await redis.zcount("big", 1000, "(2000"), 1000);
    });

    it("has streams, read in groups", async () => {
      const first = await redis.xadd("x", "*", "unit", "C", "value", "20.5");
      const second = await redis.xadd("x", "*", "value", "21");
      assert.deepEqual(await redis.xrange("x", "-", "+", "COUNT", 1), [[first, ["unit", "C", "value", "20.5"]]]);
      assert.equal(await redis.xgroup("CREATE", "x", "readers", "0"), "OK");
      const read = (consumer, id) => redis.xreadgroup("GROUP", "readers", consumer, "COUNT", 1, "STREAMS", "x", id);
      assert.equal((await read("one", ">"))[0][1][0][0], first);
      assert.equal((await read("two", ">"))[0][1][0][0], second);
      assert.equal(await read("two", ">"), null);
      assert.equal(await redis.xack("x", "readers", first), 1);
      assert.deepEqual(await redis.xpending("x", "readers"), [1, second, second, [["two", "1"]]]);
      assert.deepEqual(await redis.xautoclaim("x", "readers", "one", 0, "0", "JUSTID"), ["0-0", [second], []]);
      assert.equal((await redis.xinfo("GROUPS", "x"))[0][1], "readers");
      assert.equal(await redis.xdel("x", first), 1);
      assert.equal(await redis.xtrim("x", "MAXLEN", 0), 1);
    });

    it("has bitmaps", async () => {
      assert.equal(await redis.setbit("b", 9, 1), 0);
      assert.deepEqual(await redis.getBuffer("b"), Buffer.from([0, 0x40]));
      assert.equal(await redis.bitcount("b", 8, 15, "BIT"), 1);
      assert.equal(await redis.bitpos("b", 1), 9);
      await redis.set("a", Buffer.from([0xf0, 0xff, 1]));
      assert.equal(await redis.bitop("XOR", "c", "a", "b"), 3);
      assert.deepEqual(await redis.getBuffer("c"), Buffer.from([0xf0, 0xbf, 1]));
      const fields = ["SET", "u4", "#0", 9, "OVERFLOW", "FAIL", "INCRBY", "u4", "#0", 7, "GET", "i4", 0];
      assert.deepEqual(await redis.bitfield("f", ...fields), [0, null, -7]);
    });

    it("has HyperLogLogs", async () => {
      assert.equal(await redis.pfadd("p", ...Array(10_000).keys()), 1);
      assert.ok(Math.abs((await redis.pfcount("p")) - 10_000) < 300);
      await redis.pfadd("q", "more");
      assert.equal(await redis.pfmerge("r", "p", "q"), "OK");
      await redis.set("copy", await redis.getBuffer("r"));
      assert.equal(await redis.pfcount("copy"), await redis.pfcount("p", "q"));
    });

    it("has places", async () => {
      assert.equal(await redis.geoadd("g", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"), 2);
      assert.equal(await redis.geodist("g", "Palermo", "Catania", "km"), "166.2742");
      const near = ["FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "ASC"];
      assert.deepEqual(await redis.geosearch("g", ...near), ["Catania", "Palermo"]);
      assert.equal(await redis.geosearchstore("h", "g", ...near, "COUNT", 1), 1);
      assert.deepEqual(await redis.geohash("g", "Palermo", "none"), ["sqc8b49rny0", null]);
    });

    const pops = {
      blpop: [() => other.blpop("none", "k", 20), () => redis.rpush("k", "v"), ["k", "v"]],
      blmove: [() => other.blmove("k", "to", "LEFT", "LEFT", 20), () => redis.rpush("k", "v"), "v"],
      blmpop: [() => other.blmpop(20, 1, "k", "LEFT"), () => redis.rpush("k", "v"), ["k", ["v"]]],
      bzpopmin: [() => other.bzpopmin("k", 20), () => redis.zadd("k", 3, "v"), ["k", "v", "3"]],
      bzmpop: [() => other.bzmpop(20, 1, "k", "MIN"), () => redis.zadd("k", 3, "v"), ["k", [["v", "3"]]]],
    };
    for (const [command, [wait, give, expected]] of Object.entries(pops)) {
      it(`has ${command}, which waits`, async () => {
        const reply = wait();
        await isBlocked();
        await give();
        assert.deepEqual(await reply, expected);
        assert.equal(await redis.exists("k"), 0);
      });
    }

    it("has reads of streams that wait", async () => {
      const reply = other.xread("BLOCK", 20_000, "STREAMS", "x", "$");
      await isBlocked();
      const id = await redis.xadd("x", "*", "field", "value");
      assert.deepEqual(await reply, [["x", [[id, ["field", "value"]]]]]);
    });

    it("runs pipelines of every type, errors among them", async () => {
      const replies = await redis
        .pipeline()
        .lpush("l", 1)
        .hset("h", "a", 1)
        .sadd("s", 1)
        .zadd("z", 1, "a")
        .xadd("x", "1-1", "a", 1)
        .setbit("b", 1, 1)
        .incr("l")
        .exec();
      assert.deepEqual(replies.slice(0, -1).map(([error, reply]) => [error, reply]), [
        [null, 1], [null, 1], [null, 1], [null, 1], [null, "1-1"], [null, 0],
      ]);
      assert.match(replies.at(-1)[0].message, /^WRONGTYPE/);
    });
  });
}
