import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { environment, openPage } from './support.mjs';

const env = environment();

/** Returns the worker threads and the megabytes of all of the browser's renderers. */
async function footprint() {
  const session = await env.browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const renderers = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
  const found = await Promise.all(renderers.map(footprintOf));
  const sum = (key) => found.reduce((total, one) => total + one[key], 0);
  return { workers: sum('workers'), megabytes: sum('megabytes') };
}

async function footprintOf(pid) {
  const read = (path) => readFile(`/proc/${pid}/${path}`, 'utf8').catch(() => '');
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const names = await Promise.all(threads.map((thread) => read(`task/${thread}/comm`)));
  const [, kilobytes = 0] = /VmRSS:\s+(\d+)/.exec(await read('status')) ?? [];
  return {
    workers: names.filter((name) => name.startsWith('Dedicated')).length,
    megabytes: kilobytes / 1000,
  };
}

for (const mode of ['threads', 'pool']) {
  test(`dispose frees workers and memory, twenty times over: ${mode}`, (t) => repeated(t, mode));
}

async function repeated(t, mode) {
  const page = await openPage(t, env, { isolated: mode === 'threads' });
  const cycle = (times, dispose) =>
    page.evaluate(
      async ([times, dispose, mode]) => {
        const { Bitx } = await import('/bitx/index.js');
        const [base, delta] = ['/vectors/base-bf16.safetensors', '/vectors/sft-bf16.v2.bitx'];
        for (let i = 0; i < times; i++) {
          const bitx = await Bitx.create({ threads: 2 });
          if (bitx.mode !== mode) throw new Error(bitx.mode);
          await bitx.restore({ base, delta, output: new WritableStream({}) });
          if (dispose) bitx.dispose();
        }
      },
      [times, dispose, mode],
    );
  /** Waits, since the browser takes a moment to end sleeping threads. */
  const settled = async (workers) => {
    let found = await footprint();
    for (let tries = 0; found.workers > workers && tries < 50; tries++) {
      await page.waitForTimeout(200);
      found = await footprint();
    }
    return found;
  };
  await cycle(2, true);
  const first = await settled(0);
  assert.equal(first.workers, 0);
  await cycle(20, true);
  const last = await settled(0);
  assert.equal(last.workers, 0);
  assert.ok(last.megabytes < first.megabytes + 100, `${first.megabytes} MB, then ${last.megabytes} MB`);
  // The same measurement detects a missing dispose: three instances take more than 30 MB, so twenty
  // more than 100.
  await cycle(3, false);
  const kept = await footprint();
  assert.ok(kept.workers >= 9, `${kept.workers} workers`);
  assert.ok(kept.megabytes > last.megabytes + 30, `${last.megabytes} MB, then ${kept.megabytes} MB`);
}
