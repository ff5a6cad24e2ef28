/** Errors of calls, and their ends by an abort or by `dispose`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE, bitxPage as openBitx, SFT, SFT_V2 } from './api-support.mjs';
import { environment, SHA256 } from './support.mjs';

const env = environment();
const bitxPage = (t) => openBitx(t, env);

test('bad files have distinct error codes', async (t) => {
  const page = await bitxPage(t);
  const errors = await page.evaluate(
    async ([base, delta, v2]) => {
      const [baseBlob, deltaBlob] = await Promise.all([blobOf(base), blobOf(delta)]);
      const calls = {
        htmlDelta: { base, delta: '/net/html' },
        htmlBase: { base: '/net/html', delta },
        cutDelta: { base, delta: deltaBlob.slice(0, 200_000) },
        cutBase: { base: baseBlob.slice(0, 500_000), delta },
        otherBase: { base: '/vectors/base-f32.safetensors', delta },
        tunedBase: { base: await bitx.restore({ base, delta }), delta: v2 },
        swapped: { base: delta, delta: base },
        nothing: { base: new Blob(), delta: new Blob() },
      };
      const entries = Object.entries(calls).map(async ([name, call]) => {
        const { stream, events } = recorder();
        const error = await failure(bitx.restore({ ...call, output: stream }));
        return [name, { ...error, events }];
      });
      const fine = await sha256(await bitx.restore({ base, delta }));
      return { ...Object.fromEntries(await Promise.all(entries)), fine };
    },
    [BASE, SFT, SFT_V2],
  );
  assert.equal(errors.fine, SHA256.sft);
  assert.equal(errors.htmlDelta.code, 'format');
  assert.equal(errors.htmlDelta.file, 'delta');
  assert.equal(errors.htmlBase.code, 'format');
  assert.equal(errors.htmlBase.file, 'base');
  assert.equal(errors.cutDelta.code, 'truncated');
  assert.equal(errors.cutBase.code, 'truncated');
  assert.equal(errors.cutBase.file, 'base');
  assert.equal(errors.otherBase.code, 'base-mismatch');
  assert.ok(errors.otherBase.tensor);
  assert.equal(errors.tunedBase.code, 'base-mismatch');
  assert.ok(errors.tunedBase.tensor);
  assert.equal(errors.swapped.code, 'format');
  assert.ok(['format', 'truncated'].includes(errors.nothing.code));
  for (const { events, code } of Object.values(errors)) if (code) assert.deepEqual(events, ['abort']);
});

test('broken downloads have distinct errors', async (t) => {
  const page = await bitxPage(t);
  const errors = await page.evaluate(async (base) => {
    const used = await fetch(base);
    await used.blob();
    const calls = ['/vectors/nowhere.bitx', '/net/cut', 'http://127.0.0.1:1/refused', used, 42];
    return Promise.all(calls.map((delta) => failure(bitx.restore({ base, delta }))));
  }, BASE);
  assert.deepEqual(
    errors.map(({ code }) => code),
    ['network', 'network', 'network', 'invalid-argument', 'invalid-argument'],
  );
  assert.equal(errors[0].status, 404);
  assert.match(errors[0].url, /nowhere\.bitx$/);
  assert.match(errors[1].url, /cut$/);
});

test('invalid options are refused', async (t) => {
  const page = await bitxPage(t);
  const codes = await page.evaluate(
    async ([base, delta]) => {
      const wrong = [
        bitx.compress({ base, target: base, format: 'v9' }),
        bitx.compress({ base, target: base, level: 1000 }),
        bitx.compress({ base, target: base, format: 'v2', level: 3 }),
        bitx.compress({ base, target: base, effort: 'heroic' }),
        bitx.readTensor({ base, delta, name: 'no such tensor' }),
        bitx.restore({ base, delta, output: 'model.safetensors' }),
      ];
      return Promise.all(wrong.map(async (promise) => (await failure(promise)).code));
    },
    [BASE, SFT],
  );
  assert.deepEqual(codes, new Array(6).fill('invalid-argument'));
});

test('a stream that fails fails the call', async (t) => {
  const page = await bitxPage(t);
  const error = await page.evaluate(
    async ([base, delta]) => {
      const { stream } = recorder(() => Promise.reject(new Error('disk full')));
      return failure(bitx.restore({ base, delta, output: stream }));
    },
    [BASE, SFT],
  );
  assert.equal(error.code, 'io');
  assert.match(error.message, /disk full/);
});

test('abort: before the call, during a download, during a write', async (t) => {
  const page = await bitxPage(t);
  const result = await page.evaluate(
    async ([base, delta]) => {
      const early = await failure(bitx.restore({ base, delta, signal: AbortSignal.abort('early') }));
      const soon = () => AbortSignal.timeout(300);
      const download = await failure(bitx.restore({ base, delta: '/net/hang', signal: soon() }));
      const { stream } = recorder(() => new Promise(() => {}));
      const write = await failure(bitx.restore({ base, delta, output: stream, signal: soon() }));
      const digest = await sha256(await bitx.restore({ base, delta }));
      return { early, download, write, digest };
    },
    [BASE, SFT],
  );
  const { early, download, write } = result;
  assert.deepEqual([early.code, download.code, write.code], ['aborted', 'aborted', 'aborted']);
  assert.equal(early.cause, 'early');
  assert.match(write.cause, /TimeoutError/);
  assert.equal(result.digest, SHA256.sft);
});

test('dispose ends the worker, its threads and every pending call', async (t) => {
  const page = await bitxPage(t);
  assert.ok(page.workers().length >= 1);
  const codes = await page.evaluate(
    async ([base, delta]) => {
      const { stream } = recorder(() => new Promise(() => {}));
      const pending = [
        failure(bitx.restore({ base, delta: '/net/hang' })),
        failure(bitx.restore({ base, delta, output: stream })),
      ];
      await new Promise((resolve) => setTimeout(resolve, 300));
      bitx.dispose();
      const later = failure(bitx.inspect(delta));
      const errors = await Promise.all([...pending, later]);
      return errors.map(({ code }) => code);
    },
    [BASE, SFT],
  );
  assert.deepEqual(codes, new Array(3).fill('disposed'));
  // The browser takes a moment to end sleeping threads.
  for (let tries = 0; page.workers().length > 0 && tries < 50; tries++) await page.waitForTimeout(200);
  assert.equal(page.workers().length, 0);
});
