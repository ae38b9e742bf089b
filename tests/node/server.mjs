// Servers for the tests with clients of Node.js: this one, and Valkey's, on which the same tests must pass.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

// scripts/setup installs it there.
const installed = createRequire(join(root, "target/node/"));
export const Redis = installed("ioredis");
export const { BasicPooledClientSideCache, createClient, createClientPool, defineScript, WatchError } = installed("redis");
export const glide = installed("@valkey/valkey-glide");
export const { createAdapter, createShardedAdapter } = installed("@socket.io/redis-adapter");
export const bullmq = installed("bullmq");
export const BeeQueue = installed("bee-queue");
export const limiters = installed("rate-limiter-flexible");
export const { default: Redlock } = installed("redlock");
export const { Server: SocketServer } = installed("socket.io");
export const { io: connectSocket } = installed("socket.io-client");

const READY_MS = 20_000;

const built = ["debug", "release"].map((profile) => join(root, "target", profile, "verbena-server"));

export const programs = {
  verbena: process.env.VERBENA_SERVER ?? built.find(existsSync),
  valkey: process.env.VERBENA_ORACLE,
};

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Starts a server and waits until it is ready. */
export async function start(program, more = []) {
  if (!program) throw new Error("no server: set VERBENA_SERVER and VERBENA_ORACLE, as scripts/test does");
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), "verbena-node-"));
  const options = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", ...more];
  const child = spawn(program, options, { cwd: directory, stdio: ["ignore", "pipe", "inherit"] });
  const late = setTimeout(() => child.kill(), READY_MS);
  const log = createInterface({ input: child.stdout });
  let isReady = false;
  for await (const line of log) {
    if ((isReady = line.includes("Ready to accept connections"))) break;
  }
  clearTimeout(late);
  if (!isReady) throw new Error(`${program} did not start`);
  child.stdout.resume();
  const stop = async () => {
    child.kill();
    await once(child, "exit");
    rmSync(directory, { recursive: true });
  };
  return { port, stop };
}
