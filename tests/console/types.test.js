// The modules of the console are what their comments say.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const assets = join(here, "..", "..", "src", "console", "assets");

test("the modules pass a strict type check", () => {
  try {
    execFileSync(process.execPath, [join(here, "node_modules", "typescript", "bin", "tsc"), "-p", join(here, "tsconfig.json")]);
  } catch (error) {
    assert.fail(String(error.stdout));
  }
});

test("no module makes markup or code of text", () => {
  for (const name of readdirSync(assets).filter((name) => name.endsWith(".js"))) {
    const text = readFileSync(join(assets, name), "utf8");
    for (const word of ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "createPolicy", "parseFromString"]) {
      assert.ok(!text.includes(word), `${name} has ${word}`);
    }
  }
});

test("all of it is under 300 kB compressed", () => {
  const size = readdirSync(assets).reduce((sum, name) => sum + gzipSync(readFileSync(join(assets, name))).length, 0);
  assert.ok(size < 300_000, `${size} bytes`);
});
