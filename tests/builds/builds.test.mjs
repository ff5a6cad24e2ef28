/** Builds and development servers of many kinds, each with the package as it is published. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch } from '../../scripts/lib/browser.mjs';
import { host, models, visit } from '../e2e/examples-support.mjs';
import { SHA256, sha256 } from '../e2e/support.mjs';
import { CELLS, RUNTIMES } from './cells.mjs';
import { pack, prepare, run, startServer } from './support.mjs';

const env = {};
before(async () => {
  env.tarball = await pack();
  env.browser = await launch();
});
after(() => env.browser?.close());

const words = process.env.BUILDS?.split(',') ?? [];
const chosen = (name) => words.length === 0 || words.some((word) => name.includes(word));

async function restores(t, address, mode) {
  const text = await visit(t, env, address);
  assert.equal(text, `1192912 bytes, sha256 ${SHA256.sft}, ${mode}`);
}

for (const [name, cell] of Object.entries(CELLS).filter(([name]) => chosen(name))) {
  test(name, async (t) => {
    const place = await prepare(name, cell, env.tarball);
    for (const { script, command, server, page } of cell.runs) {
      const what = server ? `server: ${server.join(' ')}` : `page: ${script}`;
      await t.test(what, async (t) => {
        if (script) await run(place, ['npm', 'run', script]);
        if (command) await run(place, command);
        if (server) return restores(t, await startServer(t, place, server), 'pool');
        for (const isolated of [true, false]) {
          const address = await host(t, join(place, page), { isolated });
          await restores(t, address, isolated ? 'threads' : 'pool');
        }
      });
    }
  });
}

for (const [name, runtime] of Object.entries(RUNTIMES).filter(([name]) => chosen(name))) {
  test(name, async () => {
    const place = await prepare(name, { folder: name, ...runtime }, env.tarball);
    const output = join(place, 'restored');
    await run(place, [...runtime.command, ...Object.values(models), output]);
    assert.equal(sha256(readFileSync(output)), SHA256.sft);
  });
}
