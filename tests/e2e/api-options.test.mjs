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

test('an option of another call, and a value out of range, are errors that name the choices', async (t) => {
  const errors = await errorsOf(t, async () => {
    const { Bitx } = await import('/bitx/index.js');
    const { ModelCache } = await import('/bitx/cache.js');
    const { BitxHub } = await import('/bitx/hub.js');
    const { restoringCache } = await import('/bitx/transformers.js');
    const bitx = await Bitx.create({ threads: 1 });
    const cache = await ModelCache.open({ name: 'ranges' });
    const hub = new BitxHub({ url: '/hub/' });
    const blob = new Blob(['some bytes']);
    const [base, delta] = ['/vectors/base-bf16.safetensors', '/vectors/sft-bf16.v2.bitx'];
    const made = { base: blob, target: blob };
    const calls = [
      [() => bitx.restore({ base, delta, effort: 'max' }), /no option effort, but .*base, delta, maxOutput/],
      [() => bitx.restore({ base, delta, target: blob }), /no option target/],
      [() => bitx.compress({ ...made, delta }), /no option delta, but .*effort/],
      [() => bitx.compress({ ...made, maxOutput: 1 }), /no option maxOutput/],
      [() => bitx.restoreStream({ base, delta, output: 1 }), /restoreStream has no option output/],
      [() => bitx.compressStream({ ...made, output: 1 }), /compressStream has no option output/],
      [() => bitx.compress({ ...made, format: 'v1', effort: 'max' }), /effort applies to format v2 only/],
      [() => bitx.compress({ ...made, level: 3, effort: 'max' }), /effort applies to format v2 only/],
      [() => bitx.compress({ ...made, level: '3' }), /level must be a whole number.*not "3"/],
      [() => bitx.compress({ ...made, level: 9 }), /from 3 to 4, not 9/],
      [() => bitx.restore({ base, delta, maxOutput: -1 }), /maxOutput must be a whole number.*not -1/],
      [() => bitx.readTensor({ base, delta, name: 'x', maxOutput: 0.5 }), /maxOutput must be.*not 0.5/],
      [() => bitx.restore({ base, delta, signal: new AbortController() }), /signal must be an AbortSignal/],
      [() => bitx.restore({ base, delta, onProgress: 5 }), /onProgress must be a function, not 5/],
      [() => bitx.restore({ base, delta, output: 'model' }), /output must be a WritableStream or a file/],
      [() => bitx.restore({ base }), /delta is missing/],
      [() => bitx.restore({ delta }), /base is missing/],
      [() => bitx.restore({ base: [base, undefined], delta }), /base is missing/],
      [() => bitx.restore({ base, delta: [delta, delta] }), /delta must be a URL/],
      [() => bitx.compress({ base: blob }), /target is missing/],
      [() => bitx.restore(), /restore takes an object of options/],
      [() => bitx.inspect(delta, null), /inspect takes an object of options/],
      [() => Bitx.create({ threads: 1.5 }), /threads must be a whole number from 1.*not 1.5/],
      [() => ModelCache.open({ connections: 0 }), /connections must be a whole number from 1.*not 0/],
      [() => ModelCache.open({ chunkSize: '8' }), /chunkSize must be.*not "8"/],
      [() => ModelCache.open({ retries: -1 }), /retries must be a whole number from 0.*not -1/],
      [() => ModelCache.open({ retryDelay: Number.NaN }), /retryDelay must be.*not NaN/],
      [() => ModelCache.open({ stallTimeout: 1e12 }), /stallTimeout must be.*to 2147483647/],
      [() => cache.put('bitx:x', blob, { size: -1 }), /size must be a whole number/],
      [() => cache.verify('bitx:x', { progress: () => {} }), /verify has no option progress/],
      [() => cache.delete('bitx:x', { signals: 1 }), /delete has no option signals/],
      [async () => new BitxHub({ url: '/hub/', partSize: 0 }), /partSize must be/],
      [async () => new BitxHub({ url: '/hub/', stallTimeout: 0 }), /stallTimeout must be.*from 1/],
      [() => hub.push('a', { x: blob }, { effort: 'heroic' }), /effort must be fast or default or max/],
      [async () => restoringCache({ bitx, finds: () => {} }), /restoringCache has no option finds/],
    ];
    const failed = calls.map(async ([call, wanted]) => {
      const error = await call().catch((error) => error);
      return [String(wanted), error?.code, String(error?.message), wanted.test(error?.message)];
    });
    return Promise.all(failed);
  });
  for (const [wanted, code, message, matches] of errors) {
    assert.equal(code, 'invalid-argument', `${wanted}: ${message}`);
    assert.ok(matches, `${wanted}: ${message}`);
  }
});

test('options without an end are no errors', async (t) => {
  const backend = await errorsOf(t, async () => {
    const { ModelCache } = await import('/bitx/cache.js');
    const cache = await ModelCache.open({ name: 'endless', retries: Number.POSITIVE_INFINITY });
    return cache.backend;
  });
  assert.equal(backend, 'opfs');
});

test('an error about a file at an address names the address', async (t) => {
  const found = await errorsOf(t, async () => {
    const { Bitx } = await import('/bitx/index.js');
    const bitx = await Bitx.create({ threads: 1 });
    const [base, delta] = ['/vectors/base-bf16.safetensors', '/vectors/sft-bf16.v2.bitx'];
    const failed = [
      bitx.restore({ base: '/net/html', delta }),
      bitx.restore({ base, delta: '/net/html' }),
      bitx.restore({ base: [base, '/net/html'], delta }),
      bitx.inspect(new URL('/net/html', location.href)),
      bitx.inspect('/vectors/base-f16.safetensors'),
      bitx.restore({ base: '/vectors/base-f16.safetensors', delta }),
    ].map((call) => call.catch(({ code, url, message, file }) => ({ code, url, message, file })));
    return Promise.all(failed);
  });
  for (const { url, message, file } of found) {
    assert.ok(['base', 'delta'].includes(file));
    assert.match(url, /^http.*(net\/html|safetensors)$/, message);
    assert.ok(message.includes(url), message);
  }
  assert.match(found[2].message, /base-bf16\.safetensors or .*net\/html/);
  assert.match(found[0].message, /HTML page/);
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
