// TLS, with ioredis and node-redis.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { createClient, freePort, programs, Redis, start } from "./server.mjs";

const openssl = (...words) => execFileSync("openssl", words, { stdio: "ignore" });

/** Makes an authority, and a certificate of it for a server and one for a client. */
function certificates(directory) {
  const file = (name) => join(directory, name);
  const subject = (name) => ["-subj", `/CN=${name}`, "-nodes", "-newkey", "rsa:2048", "-keyout", file(`${name}.key`)];
  openssl("req", "-x509", "-new", "-days", "2", ...subject("ca"), "-out", file("ca.crt"));
  for (const name of ["server", "client"]) {
    writeFileSync(file("extensions"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    openssl("req", "-new", ...subject(name), "-out", file(`${name}.csr`));
    const authority = ["-CA", file("ca.crt"), "-CAkey", file("ca.key"), "-CAcreateserial"];
    openssl("x509", "-req", "-in", file(`${name}.csr`), ...authority, "-days", "2", "-extfile", file("extensions"), "-out", file(`${name}.crt`));
  }
  return file;
}

describe("TLS", () => {
  let server, port, directory, trust, identity;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "verbena-tls-"));
    const file = certificates(directory);
    port = await freePort();
    const names = { "tls-port": port, "tls-cert-file": file("server.crt"), "tls-key-file": file("server.key"), "tls-ca-cert-file": file("ca.crt") };
    server = await start(programs.verbena, Object.entries(names).flatMap(([name, value]) => [`--${name}`, String(value)]));
    trust = { ca: readFileSync(file("ca.crt")) };
    identity = { ...trust, cert: readFileSync(file("client.crt")), key: readFileSync(file("client.key")) };
  });

  after(async () => {
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  it("carries commands, pipelines and long values of ioredis", async () => {
    const redis = new Redis({ port, host: "127.0.0.1", tls: identity });
    const long = Buffer.alloc((1 << 20) + 1, "0123456789");
    assert.equal(await redis.set("long", long), "OK");
    assert.deepEqual(await redis.getBuffer("long"), long);
    const pipeline = redis.pipeline();
    for (let number = 0; number < 2000; number++) pipeline.incr("count");
    assert.deepEqual((await pipeline.exec()).at(-1), [null, 2000]);
    redis.disconnect();
  });

  it("carries messages to subscribers of node-redis", async () => {
    const options = { url: `rediss://127.0.0.1:${port}`, socket: { tls: true, ...identity } };
    const [subscriber, publisher] = [createClient(options), createClient(options)];
    await Promise.all([subscriber.connect(), publisher.connect()]);
    const messages = [];
    const all = new Promise((resolve) => {
      subscriber.subscribe("news", (message) => messages.push(message) === 100 && resolve());
    });
    while (!(await publisher.pubSubNumSub("news")).news);
    for (let number = 0; number < 100; number++) await publisher.publish("news", String(number));
    await all;
    assert.deepEqual(messages, Array.from({ length: 100 }, (_, number) => String(number)));
    subscriber.destroy();
    publisher.destroy();
  });

  it("does not let a client in that has no certificate", async () => {
    const redis = new Redis({ port, host: "127.0.0.1", tls: trust, retryStrategy: null, maxRetriesPerRequest: 0 });
    redis.on("error", () => {});
    await assert.rejects(redis.ping());
    redis.disconnect();
  });
});
