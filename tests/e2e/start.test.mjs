import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environment, openPage } from './support.mjs';

const env = environment();

/** Creates a Bitx in the page, restores the sample with it, and returns the mode and the result. */
async function start(page, options = {}, calls = 1) {
  return page.evaluate(
    async ({ options, calls }) => {
      const { Bitx } = await import('/bitx/index.js');
      const begun = performance.now();
      const bitx = await Bitx.create(options);
      const seconds = (performance.now() - begun) / 1000;
      const codes = [];
      for (let call = 0; call < calls; call++) {
        const input = { base: '/vectors/base-bf16.safetensors', delta: '/vectors/sft-bf16.v1.bitx' };
        codes.push(
          await bitx.restore(input).then(
            ({ size }) => size,
            ({ code }) => code,
          ),
        );
      }
      return { mode: bitx.mode, threads: bitx.threads, seconds, codes };
    },
    { options, calls },
  );
}

const RESTORED = 1_192_912;

test('an isolated page computes in threads', async (t) => {
  const { mode, threads, codes } = await start(await openPage(t, env), { threads: 3 });
  assert.deepEqual({ mode, threads, codes }, { mode: 'threads', threads: 3, codes: [RESTORED] });
});

test('a page that is not isolated computes in a pool', async (t) => {
  const page = await openPage(t, env, { isolated: false });
  const { mode, threads, codes } = await start(page, { threads: 3 });
  assert.deepEqual({ mode, threads, codes }, { mode: 'pool', threads: 3, codes: [RESTORED] });
});

test('the first mode can be chosen', async (t) => {
  const page = await openPage(t, env);
  const modes = [];
  for (const mode of ['threads', 'pool', 'single'])
    modes.push((await start(page, { mode, threads: 2 })).mode);
  assert.deepEqual(modes, ['threads', 'pool', 'single']);
});

test('threads: 1 chooses the single-threaded build', async (t) => {
  const { mode } = await start(await openPage(t, env), { threads: 1 });
  assert.equal(mode, 'single');
});

test('threads: 0 is refused', async (t) => {
  const page = await openPage(t, env);
  await assert.rejects(start(page, { threads: 0 }), /whole number/);
});

test('a browser without shared memory computes in a pool', async (t) => {
  const page = await openPage(t, env);
  await page.evaluate(() => Reflect.deleteProperty(globalThis, 'SharedArrayBuffer'));
  const { mode, codes } = await start(page, { threads: 2 });
  assert.deepEqual({ mode, codes }, { mode: 'pool', codes: [RESTORED] });
});

for (const [fault, isolated, fallback, limit] of [
  ['no-shared-memory', true, 'pool', 8],
  ['dying-threads', true, 'pool', 8],
  ['hanging-threads', true, 'single', 30],
  ['hanging-members', false, 'single', 20],
  ['wrong-members', false, 'single', 8],
]) {
  test(`falls back to ${fallback}: ${fault}`, async (t) => {
    const options = { threads: 2, workerUrl: `/broken/${fault}.js` };
    const { mode, codes, seconds } = await start(await openPage(t, env, { isolated }), options);
    assert.deepEqual({ mode, codes }, { mode: fallback, codes: [RESTORED] });
    assert.ok(seconds < limit, `it took ${seconds} s`);
  });
}

test('a call in which threads fault completes in a pool, and so does the next one', async (t) => {
  const options = { threads: 2, workerUrl: '/broken/late-fault.js' };
  const { mode, codes } = await start(await openPage(t, env), options, 2);
  assert.deepEqual({ mode, codes }, { mode: 'pool', codes: [RESTORED, RESTORED] });
});

test('wasmUrl names a folder or each file', async (t) => {
  const page = await openPage(t, env);
  const folder = await start(page, { wasmUrl: '/bitx' });
  const files = await start(page, {
    wasmUrl: { restoreThreads: '/bitx/bitx-restore-threads.wasm' },
    threads: 2,
  });
  assert.deepEqual([folder.codes, files.codes, files.mode], [[RESTORED], [RESTORED], 'threads']);
});

test('only a page that compresses fetches the compressor', async (t) => {
  const page = await openPage(t, env);
  const asked = [];
  page.context().on('request', (request) => asked.push(request.url().split('/').pop()));
  await start(page, { threads: 2 });
  const before = [...asked];
  await page.evaluate(async () => {
    const { Bitx } = await import('/bitx/index.js');
    const bitx = await Bitx.create({ threads: 2 });
    await bitx.compress({ base: new Blob(['a base']), target: new Blob(['a target']) });
  });
  const wasm = (list) => list.filter((name) => name.endsWith('.wasm'));
  assert.deepEqual(wasm(before), ['bitx-restore-threads.wasm']);
  assert.ok(wasm(asked).includes('bitx-compress-threads.wasm'), `${asked}`);
});

test('a missing wasm file is a failed start', async (t) => {
  const page = await openPage(t, env);
  const code = await page.evaluate(async () => {
    const { Bitx, BitxError } = await import('/bitx/index.js');
    return Bitx.create({ wasmUrl: '/nowhere/' }).catch((error) => error instanceof BitxError && error.code);
  });
  assert.equal(code, 'start-failed');
});

test('a start that hangs can be aborted', async (t) => {
  const page = await openPage(t, env);
  const outcome = await page.evaluate(async () => {
    const { Bitx } = await import('/bitx/index.js');
    const controller = new AbortController();
    setTimeout(() => controller.abort('enough'), 200);
    const { code, cause } = await Bitx.create({ workerUrl: '/net/hang', signal: controller.signal }).catch(
      (error) => error,
    );
    return { code, cause };
  });
  assert.deepEqual(outcome, { code: 'aborted', cause: 'enough' });
});
