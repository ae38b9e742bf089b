// Valkey's own client, valkey-glide: commands, transactions, messages, MONITOR and its cache.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";

import { Inbox } from "./inbox.mjs";
import { glide, programs, Redis, start } from "./server.mjs";

const { Batch, ClientSideCache, GlideClient, GlideMonitorClient, Logger, ProtocolVersion } = glide;
const TIMEOUT_MS = 10_000;

// A client that is closed is reported by the library's own task of subscriptions as an error.
Logger.setLoggerConfig("off");

for (const [name, program] of Object.entries(programs)) {
  for (const protocol of ["RESP2", "RESP3"]) {
    describe(`${name}, valkey-glide with ${protocol}`, { timeout: 60_000 }, () => {
      let server, client, opened;
      const configuration = (options) => ({
        addresses: [{ host: "127.0.0.1", port: server.port }],
        protocol: ProtocolVersion[protocol],
        requestTimeout: TIMEOUT_MS,
        ...options,
      });
      const connect = async (options) => {
        const connected = await GlideClient.createClient(configuration(options));
        opened.push(connected);
        return connected;
      };
      const subscriber = async (inbox, channelsAndPatterns = {}) =>
        connect({
          pubsubSubscriptions: {
            channelsAndPatterns,
            callback: ({ channel, pattern, message }) => inbox.put(pattern ?? null, channel, message),
          },
        });

      before(async () => {
        server = await start(program);
        opened = [];
        client = await connect();
      });

      after(async () => {
        client.close();
        await server.stop();
      });

      beforeEach(() => client.flushall());

      afterEach(() => opened.splice(1).forEach((each) => each.close()));

      it("names itself and its library", async () => {
        const named = await connect({ clientName: "glide" });
        assert.equal(await named.clientGetName(), "glide");
        assert.match(await named.customCommand(["CLIENT", "INFO"]), / name=glide .* lib-name=GlideJS lib-ver=\w/);
      });

      it("has commands of every type", async () => {
        assert.equal(await client.set("a", "1", { expiry: { type: "EX", count: 100 } }), "OK");
        assert.equal(await client.incrBy("a", 41), 42);
        assert.ok((await client.ttl("a")) > 90);
        assert.equal(await client.get("none"), null);
        assert.equal(await client.hset("h", { name: "Ada", born: "1815" }), 2);
        assert.deepEqual((await client.hgetall("h")).map(({ field, value }) => [field, value]).sort(), [
          ["born", "1815"], ["name", "Ada"],
        ]);
        assert.equal(await client.rpush("l", ["a", "b", "c"]), 3);
        assert.deepEqual(await client.lrange("l", 0, -1), ["a", "b", "c"]);
        assert.equal(await client.sadd("s", ["x", "y"]), 2);
        assert.deepEqual(await client.smembers("s"), new Set(["x", "y"]));
        assert.equal(await client.zadd("z", { a: 1, b: 2.5 }), 2);
        assert.deepEqual(await client.zrangeWithScores("z", { start: 0, end: -1 }), [
          { element: "a", score: 1 }, { element: "b", score: 2.5 },
        ]);
        const id = await client.xadd("x", [["unit", "C"]]);
        assert.deepEqual(await client.xread({ x: "0" }), [{ key: "x", value: { [id]: [["unit", "C"]] } }]);
        const [cursor, keys] = await client.scan("0", { count: 1000 });
        assert.deepEqual([cursor, keys.sort()], ["0", ["a", "h", "l", "s", "x", "z"]]);
        await assert.rejects(client.incr("l"), /WRONGTYPE|wrong kind/);
        assert.deepEqual(await client.configGet(["maxmemory-policy"]), { "maxmemory-policy": "noeviction" });
      });

      it("executes transactions and pipelines", async () => {
        const chain = () => new Batch(true).set("a", "1").incr("a").get("a").lrange("none", 0, -1);
        assert.deepEqual(await client.exec(chain(), true), ["OK", 2, "2", []]);
        const watching = await connect();
        await watching.watch(["a"]);
        await client.set("a", "5");
        assert.equal(await watching.exec(chain(), true), null);
        assert.equal(await client.get("a"), "5");
        const mixed = new Batch(false).set("t", "text").incr("t").get("t");
        const [first, error, last] = await client.exec(mixed, false);
        assert.deepEqual([first, last], ["OK", "text"]);
        assert.match(error.message, /not an integer/);
        const long = new Batch(false);
        for (let i = 0; i < 5000; i++) long.rpush("l", [String(i)]);
        assert.equal((await client.exec(long, true)).at(-1), 5000);
      });

      it("shows a monitor what others do", async () => {
        const monitor = await GlideMonitorClient.create(configuration());
        await client.set("a b", "\x01\"");
        const { timestamp, db, clientAddr, command, args } = await monitor.getNextMessage();
        assert.deepEqual([db, command.toLowerCase(), args[0]], [0, "set", "a b"]);
        assert.match(clientAddr, /^127\.0\.0\.1:\d+$/);
        assert.ok(Math.abs(timestamp - Date.now() / 1000) < 60, timestamp);
        await monitor.close();
      });

      // Everything below needs pushes.
      if (protocol === "RESP2") return;

      it("gets messages of the subscriptions that it was created with", async () => {
        const inbox = new Inbox();
        const { Exact, Pattern } = glide.GlideClientConfiguration.PubSubChannelModes;
        const own = await subscriber(inbox, { [Exact]: new Set(["a", "b"]), [Pattern]: new Set(["a*"]) });
        const counts = (await client.pubsubNumSub(["a", "none"])).map(({ channel, numSub }) => [channel, numSub]);
        assert.deepEqual(counts.sort(), [["a", 1], ["none", 0]]);
        assert.equal(await client.pubsubNumPat(), 1);
        assert.deepEqual((await client.pubsubChannels()).sort(), ["a", "b"]);
        assert.equal(await client.publish("x", "b"), 1);
        assert.equal(await client.publish("y", "a"), 2);
        assert.deepEqual(await inbox.take(3), [[null, "b", "x"], [null, "a", "y"], ["a*", "a", "y"]]);
        assert.equal(await own.get("none"), null);
      });

      it("subscribes and unsubscribes later", async () => {
        const inbox = new Inbox();
        const own = await subscriber(inbox);
        await own.subscribe(["c"], TIMEOUT_MS);
        await own.psubscribe(["d*"], TIMEOUT_MS);
        assert.equal(await client.publish("1", "c"), 1);
        assert.equal(await client.publish("2", "dd"), 1);
        assert.deepEqual(await inbox.take(2), [[null, "c", "1"], ["d*", "dd", "2"]]);
        await own.unsubscribe(["c"], TIMEOUT_MS);
        await own.punsubscribe(null, TIMEOUT_MS);
        assert.equal(await client.publish("3", "c"), 0);
        assert.equal(await client.publish("4", "dd"), 0);
      });

      // Its ssubscribe() belongs to its client of clusters, which needs cluster mode.
      it("publishes to sharded channels", async () => {
        const inbox = new Inbox();
        const own = new Redis(server.port);
        own.on("smessage", inbox.put);
        await own.ssubscribe("{x}a");
        assert.equal(await client.customCommand(["SPUBLISH", "{x}a", "1"]), 1);
        assert.deepEqual(await inbox.take(1), [["{x}a", "1"]]);
        own.disconnect();
      });

      it("subscribes again after the connection has been lost", async () => {
        const inbox = new Inbox();
        const own = await subscriber(inbox);
        await own.subscribe(["a"], TIMEOUT_MS);
        assert.equal(await client.customCommand(["CLIENT", "KILL", "ID", String(await own.clientId())]), 1);
        while ((await client.publish("x", "a")) !== 1);
        assert.deepEqual(await inbox.take(1), [[null, "a", "x"]]);
      });

      it("gets all messages, in order", async () => {
        const inbox = new Inbox();
        const own = await subscriber(inbox);
        await own.subscribe(["a"], TIMEOUT_MS);
        const batch = new Batch(false);
        for (let i = 0; i < 5000; i++) batch.publish(String(i), "a");
        await client.exec(batch, true);
        assert.deepEqual(await inbox.take(5000), Array.from({ length: 5000 }, (_, i) => [null, "a", String(i)]));
      });

      it("hears of changes of keys", async () => {
        const inbox = new Inbox();
        await client.configSet({ "notify-keyspace-events": "KEA" });
        const own = await subscriber(inbox);
        await own.psubscribe(["__key*__:*"], TIMEOUT_MS);
        await client.set("a", "1");
        assert.deepEqual(await inbox.take(2), [
          ["__key*__:*", "__keyspace@0__:a", "set"], ["__key*__:*", "__keyevent@0__:set", "a"],
        ]);
        await client.configSet({ "notify-keyspace-events": "" });
      });

      it("forgets in its cache what others change", async () => {
        const clientSideCache = ClientSideCache.create(1024, 0, { enableMetrics: true, serverAssisted: true });
        const cached = await connect({ clientSideCache });
        const gets = async () => Number((await client.info(["commandstats"])).match(/cmdstat_get:calls=(\d+)/)?.[1] ?? 0);
        await client.set("a", "1");
        assert.equal(await cached.get("a"), "1");
        const before = await gets();
        for (let i = 0; i < 100; i++) assert.equal(await cached.get("a"), "1");
        assert.equal(await gets(), before);
        await client.set("a", "2");
        // The invalidation was sent before this reply.
        await cached.ping();
        assert.equal(await cached.get("a"), "2");
        await client.flushall();
        await cached.ping();
        assert.equal(await cached.get("a"), null);
      });
    });
  }
}
