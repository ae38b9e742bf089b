// Pub/sub, MONITOR and client-side caching, with ioredis and with node-redis.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, beforeEach, describe, it } from "node:test";

import { Inbox } from "./inbox.mjs";
import { BasicPooledClientSideCache, createClient, createClientPool, programs, Redis, start } from "./server.mjs";

for (const [name, program] of Object.entries(programs)) {
  describe(`${name}, ioredis, messages`, { timeout: 60_000 }, () => {
    let server, redis, subscriber, inbox;

    before(async () => {
      server = await start(program);
      redis = new Redis(server.port);
    });

    after(async () => {
      redis.disconnect();
      subscriber.disconnect();
      await server.stop();
    });

    beforeEach(async () => {
      subscriber?.disconnect();
      await redis.flushall();
      subscriber = new Redis(server.port);
      const own = (inbox = new Inbox());
      for (const event of ["message", "pmessage", "smessage"]) {
        subscriber.on(event, (...rest) => own.put(event, ...rest));
      }
    });

    it("come by channel and by pattern", async () => {
      assert.equal(await subscriber.subscribe("a", "b"), 2);
      assert.equal(await subscriber.psubscribe("a*"), 3);
      assert.equal(await redis.publish("b", "x"), 1);
      assert.equal(await redis.publish("a", "y"), 2);
      assert.deepEqual(await inbox.take(3), [
        ["message", "b", "x"], ["message", "a", "y"], ["pmessage", "a*", "a", "y"],
      ]);
      assert.deepEqual(await redis.pubsub("NUMSUB", "a", "none"), ["a", 1, "none", 0]);
      await assert.rejects(subscriber.get("a"), /subscriber mode/);
      assert.equal(await subscriber.unsubscribe("a", "b"), 1);
      assert.equal(await subscriber.punsubscribe("a*"), 0);
      assert.equal(await subscriber.get("none"), null);
    });

    it("come by sharded channel", async () => {
      assert.equal(await subscriber.ssubscribe("{x}a", "{x}b"), 2);
      assert.equal(await redis.spublish("{x}b", "x"), 1);
      assert.equal(await redis.publish("{x}b", "x"), 0);
      assert.deepEqual(await inbox.take(1), [["smessage", "{x}b", "x"]]);
      assert.equal(await subscriber.sunsubscribe("{x}a"), 1);
    });

    it("come again after the connection has been lost", async () => {
      const id = await subscriber.client("ID");
      await subscriber.subscribe("a");
      const again = once(subscriber, "ready");
      assert.equal(await redis.client("KILL", "ID", id), 1);
      await again;
      while ((await redis.publish("a", "x")) !== 1);
      assert.deepEqual(await inbox.take(1), [["message", "a", "x"]]);
    });

    it("are all there, in order", async () => {
      await subscriber.subscribe("a");
      const pipeline = redis.pipeline();
      for (let i = 0; i < 5000; i++) pipeline.publish("a", i);
      await pipeline.exec();
      const found = await inbox.take(5000);
      assert.deepEqual(found, Array.from({ length: 5000 }, (_, i) => ["message", "a", String(i)]));
    });

    it("tell of changes of keys", async () => {
      await redis.config("SET", "notify-keyspace-events", "KEA");
      await subscriber.psubscribe("__key*@0__:*");
      await redis.set("a", 1, "PX", 20);
      assert.deepEqual(await inbox.take(4), [
        ["pmessage", "__key*@0__:*", "__keyspace@0__:a", "set"],
        ["pmessage", "__key*@0__:*", "__keyevent@0__:set", "a"],
        ["pmessage", "__key*@0__:*", "__keyspace@0__:a", "expire"],
        ["pmessage", "__key*@0__:*", "__keyevent@0__:expire", "a"],
      ]);
      assert.deepEqual(await inbox.take(2), [
        ["pmessage", "__key*@0__:*", "__keyspace@0__:a", "expired"],
        ["pmessage", "__key*@0__:*", "__keyevent@0__:expired", "a"],
      ]);
      await redis.config("SET", "notify-keyspace-events", "");
    });

    it("come as buffers", async () => {
      subscriber.on("messageBuffer", (channel, message) => inbox.put("messageBuffer", channel, message));
      await subscriber.subscribe("a");
      await redis.publish("a", Buffer.from([0, 255, 13, 10]));
      const [, [, , bytes]] = await inbox.take(2);
      assert.deepEqual(bytes, Buffer.from([0, 255, 13, 10]));
    });

    it("say which keys a cache must forget", async () => {
      const id = await subscriber.client("ID");
      await subscriber.subscribe("__redis__:invalidate");
      const cached = new Redis(server.port);
      await cached.client("TRACKING", "ON", "REDIRECT", id);
      assert.equal(await cached.client("GETREDIR"), id);
      await redis.set("a", 1);
      assert.equal(await cached.get("a"), "1");
      await redis.set("a", 2);
      assert.deepEqual(await inbox.take(1), [["message", "__redis__:invalidate", "a"]]);
      await redis.flushall();
      assert.deepEqual(await inbox.take(1), [["message", "__redis__:invalidate", ""]]);
      cached.disconnect();
    });

    it("show a monitor what others do", async () => {
      const monitor = await subscriber.monitor();
      monitor.on("monitor", (time, args, source, database) => inbox.put(args, database));
      await redis.set("a b", "\x01\"");
      await redis.get("a b");
      assert.deepEqual(await inbox.take(2), [[["set", "a b", "\\x01\""], "0"], [["get", "a b"], "0"]]);
      monitor.disconnect();
    });
  });

  for (const RESP of [2, 3]) {
    describe(`${name}, node-redis with RESP${RESP}, messages`, { timeout: 60_000 }, () => {
      let server, redis;
      const connect = (options) =>
        createClient({ socket: { host: "127.0.0.1", port: server.port }, RESP, ...options }).connect();

      before(async () => {
        server = await start(program);
        redis = await connect();
      });

      after(async () => {
        await redis.close();
        await server.stop();
      });

      beforeEach(() => redis.flushAll());

      it("come by channel, by pattern and by sharded channel", async () => {
        const [subscriber, inbox] = [await connect(), new Inbox()];
        await subscriber.subscribe(["a", "b"], (message, channel) => inbox.put("channel", channel, message));
        await subscriber.pSubscribe("a*", (message, channel) => inbox.put("pattern", channel, message));
        await subscriber.sSubscribe("{x}a", (message, channel) => inbox.put("sharded", channel, message));
        assert.equal(await redis.publish("b", "x"), 1);
        assert.equal(await redis.publish("a", "y"), 2);
        assert.equal(await redis.sPublish("{x}a", "z"), 1);
        assert.deepEqual(await inbox.take(4), [
          ["channel", "b", "x"], ["channel", "a", "y"], ["pattern", "a", "y"], ["sharded", "{x}a", "z"],
        ]);
        if (RESP === 3) assert.equal(await subscriber.get("none"), null);
        // (Without names node-redis waits for ever in RESP2, with Valkey too.)
        await subscriber.unsubscribe(["a", "b"]);
        await subscriber.pUnsubscribe("a*");
        await subscriber.sUnsubscribe("{x}a");
        assert.equal(await redis.publish("a", "x"), 0);
        assert.equal(await subscriber.get("none"), null);
        await subscriber.close();
      });

      it("come again after the connection has been lost", async () => {
        const [subscriber, inbox] = [await connect(), new Inbox()];
        subscriber.on("error", () => {});
        const id = await subscriber.clientId();
        // (once() would reject with the error that comes before.)
        const again = new Promise((resolve) => subscriber.once("ready", resolve));
        await subscriber.subscribe("a", (message) => inbox.put("channel", message));
        await subscriber.pSubscribe("b*", (message) => inbox.put("pattern", message));
        await subscriber.sSubscribe("c", (message) => inbox.put("sharded", message));
        assert.equal(await redis.clientKill({ filter: "ID", id }), 1);
        await again;
        assert.deepEqual([await redis.publish("a", "1"), await redis.publish("bb", "2"), await redis.sPublish("c", "3")], [1, 1, 1]);
        assert.deepEqual(await inbox.take(3), [["channel", "1"], ["pattern", "2"], ["sharded", "3"]]);
        await subscriber.close();
      });

      it("come as buffers", async () => {
        const [subscriber, inbox] = [await connect(), new Inbox()];
        await subscriber.subscribe("a", (message, channel) => inbox.put(channel, message), true);
        await redis.publish("a", Buffer.from([0, 255, 13, 10]));
        assert.deepEqual(await inbox.take(1), [[Buffer.from("a"), Buffer.from([0, 255, 13, 10])]]);
        await subscriber.close();
      });

      it("tell of changes of keys", async () => {
        const [subscriber, inbox] = [await connect(), new Inbox()];
        await redis.configSet("notify-keyspace-events", "Ehlx");
        await subscriber.pSubscribe("__keyevent@*__:*", (key, channel) => inbox.put(channel, key));
        await redis.multi().set("a", "1", { PX: 20 }).hSet("h", "f", "v").rPush("l", "v").exec();
        assert.deepEqual(await inbox.take(3), [
          ["__keyevent@0__:hset", "h"], ["__keyevent@0__:rpush", "l"], ["__keyevent@0__:expired", "a"],
        ]);
        await redis.configSet("notify-keyspace-events", "");
        await subscriber.close();
      });

      it("show a monitor what others do", async () => {
        const [monitor, inbox] = [await connect(), new Inbox()];
        await monitor.monitor((line) => inbox.put(String(line)));
        await redis.set("a b", "\x01\"");
        const [[line]] = await inbox.take(1);
        assert.match(line, /^\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "a b" "\\x01\\""$/);
        monitor.destroy();
      });

      if (RESP === 3) {
        it("make a cache in the client forget", async () => {
          const cached = await connect({ clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: "LRU" } });
          await redis.set("a", "1");
          const gets = async () => Number((await redis.info("commandstats")).match(/cmdstat_get:calls=(\d+)/)[1]);
          assert.equal(await cached.get("a"), "1");
          const before = await gets();
          for (let i = 0; i < 100; i++) assert.equal(await cached.get("a"), "1");
          assert.equal(await gets(), before);
          await redis.set("a", "2");
          // The invalidation was sent before this reply.
          await cached.ping();
          assert.equal(await cached.get("a"), "2");
          await redis.flushAll();
          await cached.ping();
          assert.equal(await cached.get("a"), null);
          await cached.close();
        });

        it("make the cache that a pool shares forget", async () => {
          const clientSideCache = new BasicPooledClientSideCache({ maxEntries: 10, evictPolicy: "FIFO" });
          const pool = createClientPool(
            { socket: { host: "127.0.0.1", port: server.port }, RESP },
            { minimum: 2, maximum: 2, clientSideCache },
          );
          await pool.connect();
          const keys = Array.from({ length: 10 }, (_, i) => `key:${i}`);
          const values = () => Promise.all(keys.map((key) => pool.get(key)));
          await redis.mSet(keys.map((key) => [key, "1"]));
          for (let i = 0; i < 10; i++) assert.deepEqual(await values(), keys.map(() => "1"));
          assert.equal(clientSideCache.stats().missCount, 10);
          assert.equal(clientSideCache.stats().hitCount, 90);
          const inbox = new Inbox();
          clientSideCache.on("invalidate", (key) => inbox.put(String(key)));
          await redis.mSet(keys.map((key) => [key, "2"]));
          assert.deepEqual((await inbox.take(10)).flat().sort(), keys);
          assert.deepEqual(await values(), keys.map(() => "2"));
          assert.equal(clientSideCache.stats().missCount, 20);
          await pool.close();
        });
      }
    });
  }
}
