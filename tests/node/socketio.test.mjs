// Two socket.io servers that reach each other's sockets through the server, with socket.io's adapters for Redis.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, it } from "node:test";

import { Inbox } from "./inbox.mjs";
import { connectSocket, createAdapter, createClient, createShardedAdapter, programs, Redis, SocketServer, start } from "./server.mjs";

const TIMEOUT_MS = 10_000;

const libraries = {
  ioredis: async (port) => {
    const redis = new Redis(port);
    await once(redis, "ready");
    return { redis, end: () => redis.quit() };
  },
  "node-redis": async (port) => {
    const redis = await createClient({ socket: { host: "127.0.0.1", port } }).connect();
    return { redis, end: () => redis.close() };
  },
};
const adapters = { adapter: createAdapter, "sharded adapter": createShardedAdapter };

/** A socket.io server with one socket connected to it, which joins the room named `room`. */
async function startNode(connect, adapter, port, room) {
  const [publisher, subscriber] = [await connect(port), await connect(port)];
  const http = createServer().listen(0, "127.0.0.1");
  await once(http, "listening");
  const io = new SocketServer(http, { adapter: adapter(publisher.redis, subscriber.redis), transports: ["websocket"] });
  const joined = new Promise((resolve) =>
    io.on("connection", async (socket) => {
      await socket.join(["all", room]);
      resolve(socket);
    }),
  );
  const socket = connectSocket(`http://127.0.0.1:${http.address().port}`, { transports: ["websocket"], forceNew: true });
  const inbox = new Inbox();
  socket.on("told", (...rest) => inbox.put(...rest));
  socket.on("asked", (question, answer) => answer(`${room} heard ${question}`));
  const { id } = await joined;
  const stop = async () => {
    socket.disconnect();
    await io.close();
    await publisher.end();
    await subscriber.end();
  };
  return { io, id, inbox, stop };
}

for (const [name, program] of Object.entries(programs)) {
  for (const [library, connect] of Object.entries(libraries)) {
    for (const [kind, adapter] of Object.entries(adapters)) {
      describe(`${name}, socket.io's ${kind} with ${library}`, { timeout: 60_000 }, () => {
        let server, one, two;

        before(async () => {
          server = await start(program);
          one = await startNode(connect, adapter, server.port, "one");
          two = await startNode(connect, adapter, server.port, "two");
          // A node subscribes without waiting, and says hello to the others: until then they do not know of it.
          while ((await Promise.all([one, two].map(({ io }) => io.of("/").adapter.serverCount()))).some((count) => count !== 2));
        });

        after(async () => {
          await one.stop();
          await two.stop();
          await server.stop();
        });

        it("broadcasts to the sockets of both", async () => {
          one.io.emit("told", "text", { n: 1 }, Buffer.from([0, 255]));
          for (const { inbox } of [one, two]) {
            assert.deepEqual(await inbox.take(1), [["text", { n: 1 }, Buffer.from([0, 255])]]);
          }
        });

        it("reaches a room on the other", async () => {
          one.io.to("two").emit("told", "only two");
          one.io.emit("told", "everybody");
          assert.deepEqual(await two.inbox.take(2), [["only two"], ["everybody"]]);
          assert.deepEqual(await one.inbox.take(1), [["everybody"]]);
        });

        it("collects the answers of the sockets of both", async () => {
          const answers = await two.io.timeout(TIMEOUT_MS).emitWithAck("asked", "it");
          assert.deepEqual(answers.sort(), ["one heard it", "two heard it"]);
          assert.deepEqual(await two.io.to("one").timeout(TIMEOUT_MS).emitWithAck("asked", "that"), ["one heard that"]);
        });

        it("has servers ask each other", async () => {
          two.io.on("sum", (a, b, answer) => answer(a + b));
          assert.deepEqual(await one.io.serverSideEmitWithAck("sum", 1, 2), [3]);
        });

        it("lists, moves and disconnects sockets of the other", async () => {
          const found = await one.io.in("all").fetchSockets();
          assert.deepEqual(found.map(({ id }) => id).sort(), [one.id, two.id].sort());
          one.io.in("two").socketsJoin("more");
          assert.deepEqual((await one.io.in("more").fetchSockets()).map(({ id }) => id), [two.id]);
          one.io.in("more").disconnectSockets(true);
          while ((await one.io.fetchSockets()).length !== 1);
        });
      });
    }
  }
}
