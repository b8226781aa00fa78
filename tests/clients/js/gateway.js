// A gateway on the rehearsal model for one test file.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
const binary = process.env.PORTCULLIS_BIN ?? join(root, "target", "debug", "portcullis");
const foreign = /^(PORTCULLIS|OPENAI|ANTHROPIC|OTEL_|RUST_LOG)/;

// `more` is added to its configuration.
export async function start(more = "") {
  const directory = mkdtempSync(join(tmpdir(), "portcullis-"));
  const at = (name) => join(directory, name);
  writeFileSync(
    at("gateway.toml"),
    `listeners = [{ protocol = "http", address = "127.0.0.1:0" }]
[ops]
address = "127.0.0.1:0"
[record]
path = ${JSON.stringify(at("records.jsonl"))}
flush_every = "5ms"
[reload]
watch = false
${more}`,
  );
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  env.PORTCULLIS_ADDRESSES_FILE = at("addresses.json");
  const log = openSync(at("log"), "w");
  const child = spawn(binary, ["serve", "--config", at("gateway.toml")], { cwd: directory, env, stdio: ["ignore", log, log] });
  let listener, ops;
  for (let tries = 0; !listener; tries += 1) {
    if (child.exitCode !== null || tries > 4500) {
      child.kill("SIGKILL");
      throw new Error(`the gateway does not start:\n${readFileSync(at("log"), "utf8")}`);
    }
    try {
      const addresses = JSON.parse(readFileSync(at("addresses.json"), "utf8"));
      listener = addresses.listeners.find((one) => one.protocol === "http");
      ops = addresses.ops;
    } catch {
      await sleep(20);
    }
  }
  const records = () =>
    existsSync(at("records.jsonl"))
      ? readFileSync(at("records.jsonl"), "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line))
      : [];
  return {
    // Where its files are.
    directory,
    url: `http://${listener.address}`,
    // The ops listener: admin API and console.
    ops: `http://${ops}`,
    // What it printed.
    log: () => readFileSync(at("log"), "utf8"),
    // How many records there are, once those of earlier requests are written.
    async settled() {
      let count = -1;
      while (count !== records().length) {
        count = records().length;
        await sleep(150);
      }
      return count;
    },
    // The records after the first `before`, once there are `count` of them and no more follow.
    async newRecords(before, count) {
      for (let tries = 0; records().length < before + count && tries < 500; tries += 1) await sleep(20);
      await sleep(200);
      return records().slice(before);
    },
    async stop() {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
