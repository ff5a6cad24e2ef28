/** Options that no call has, and values that no option has: errors, and never ignored. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environment, openPage } from './support.mjs';

const env = environment();

/** Returns the errors of calls in a page, by name. */
async function errorsOf(t, calls) {
  const page = await openPage(t, env);
  return page.evaluate(calls);
}

test('an unknown mode is an error that names the choices', async (t) => {
  const errors = await errorsOf(t, async () => {
    const { Bitx } = await import('/bitx/index.js');
    const modes = ['turbo', 'Threads', '', 'constructor'];
    const failed = modes.map((mode) => Bitx.create({ mode }).catch(({ code, message }) => [code, message]));
    return Promise.all(failed);
  });
  for (const [code, message] of errors) {
    assert.equal(code, 'invalid-argument');
    assert.match(message, /threads or pool or single/);
  }
});

test('an unknown effort or format is an error that names the choices', async (t) => {
  const errors = await errorsOf(t, async () => {
    const { Bitx } = await import('/bitx/index.js');
    const bitx = await Bitx.create({ threads: 1 });
    const blob = new Blob(['some bytes']);
    const failed = [{ effort: 'heroic' }, { format: 'v9' }].map((option) =>
      bitx.compress({ base: blob, target: blob, ...option }).catch(({ code, message }) => [code, message]),
    );
    return Promise.all(failed);
  });
  assert.deepEqual(errors, [
    ['invalid-argument', 'effort must be fast, default or max, not "heroic"'],
    ['invalid-argument', 'format must be v1 or v2, not "v9"'],
  ]);
});

test('an unknown backend is an error that names the choices', async (t) => {
  const [code, message] = await errorsOf(t, async () => {
    const { ModelCache } = await import('/bitx/cache.js');
    return ModelCache.open({ backend: 'opsf' }).catch(({ code, message }) => [code, message]);
  });
  assert.equal(code, 'invalid-argument');
  assert.match(message, /opfs or cache-storage or memory/);
});

test('a misspelt option is an error that names it', async (t) => {
  const errors = await errorsOf(t, async () => {
    const { Bitx } = await import('/bitx/index.js');
    const { loadFineTune, ModelCache, planFineTune } = await import('/bitx/cache.js');
    const { BitxHub } = await import('/bitx/hub.js');
    const { RestoredFile } = await import('/bitx/service-worker.js');
    const bitx = await Bitx.create({ threads: 1 });
    const cache = await ModelCache.open({ name: 'options' });
    const hub = new BitxHub({ url: '/hub/' });
    const blob = new Blob(['some bytes']);
    const [base, delta] = ['/vectors/base-bf16.safetensors', '/vectors/sft-bf16.v2.bitx'];
    const calls = {
      treads: () => Bitx.create({ treads: 1 }),
      deltas: () => bitx.restore({ base, deltas: delta }),
      signals: () => bitx.restoreStream({ base, delta, signals: [] }),
      efort: () => bitx.compress({ base: blob, target: blob, efort: 'max' }),
      formt: () => bitx.compressStream({ base: blob, target: blob, formt: 'v1' }),
      tensor: () => bitx.readTensor({ base, delta, tensor: 'a' }),
      onprogress: () => bitx.inspect(delta, { onprogress: () => {} }),
      progress: () => bitx.tensors(base, { progress: () => {} }),
      chunksize: () => ModelCache.open({ chunksize: 1 }),
      integrty: () => cache.fetch(base, { integrty: '0'.repeat(64) }),
      label: () => cache.put('bitx:x', blob, { label: {} }),
      stored: () => loadFineTune({ base, delta, cache, stored: false }),
      models: () => loadFineTune({ base, delta, cache, integrity: { models: '0'.repeat(64) } }),
      header: () => planFineTune({ base, delta, cache, header: {} }),
      tokens: async () => new BitxHub({ url: '/hub/', tokens: 'x' }),
      file: () => hub.pull('a', { file: ['x'] }),
      paths: () => hub.plan('a', { paths: ['x'] }),
      bases: () => hub.push('a', { x: blob }, { bases: [blob] }),
      wasm: async () => new RestoredFile({ base, delta, wasm: '/x' }),
    };
    const failed = Object.entries(calls).map(async ([name, call]) => {
      const error = await call().catch((error) => error);
      return [name, error?.code, String(error?.message)];
    });
    return Promise.all(failed);
  });
  for (const [name, code, message] of errors) {
    assert.equal(code, 'invalid-argument', `${name}: ${message}`);
    assert.ok(message.includes(`no option ${name}`), message);
  }
});

test('an option that is undefined is no option', async (t) => {
  const size = await errorsOf(t, async () => {
    const { Bitx } = await import('/bitx/index.js');
    const bitx = await Bitx.create({ threads: 1, mode: undefined, other: undefined });
    const input = { base: '/vectors/base-bf16.safetensors', delta: '/vectors/sft-bf16.v2.bitx' };
    return (await bitx.restore({ ...input, output: undefined, other: undefined })).size;
  });
  assert.equal(size, 1_192_912);
});
