import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CHUNK, cacheEnvironment, cachePage } from './cache-support.mjs';
import { SHA256, sha256, vectors } from './support.mjs';

const env = cacheEnvironment();
const BASE = readFileSync(join(vectors, 'base-bf16.safetensors'));
const SFT = readFileSync(join(vectors, 'sft-bf16.v1.bitx'));
const LORA = readFileSync(join(vectors, 'lora-bf16.v1.bitx'));
const MODEL_SIZE = 1_192_912;

/** Opens a page with an empty cache for the test, and the URLs of the files. */
async function fineTunePage(t) {
  const page = await cachePage(t, env);
  const paths = {
    base: env.origin.put('base', BASE),
    mirror: env.origin.put('mirror', BASE),
    sft: env.origin.put('sft', SFT),
    lora: env.origin.put('lora', LORA),
  };
  await page.evaluate(
    async ([name, paths]) => {
      globalThis.cache = await open({ name });
      globalThis.paths = paths;
      globalThis.load = (options) => loadFineTune({ base: paths.base, delta: paths.sft, cache, ...options });
      globalThis.plan = (options) => planFineTune({ base: paths.base, delta: paths.sft, cache, ...options });
    },
    [t.name.replaceAll(/\W+/g, '-'), paths],
  );
  return page;
}

const requested = () => new Set(env.origin.log.filter(({ sent }) => sent > 0).map(({ name }) => name));

test('the plan is right before the call, and the model after it', async (t) => {
  const page = await fineTunePage(t);
  const before = await page.evaluate(() => plan());
  assert.equal(env.origin.sent, 0, 'a plan downloads nothing');
  assert.deepEqual([before.base[0].size, before.delta.size], [BASE.length, SFT.length]);
  assert.deepEqual(before.model, { cached: false, size: BASE.length });
  const fetchBytes = BASE.length + SFT.length;
  assert.equal(before.fetchBytes, fetchBytes);
  assert.equal(before.savedBytes, BASE.length - fetchBytes);
  assert.equal(before.storeBytes, fetchBytes + BASE.length);
  assert.ok(before.fits && before.availableBytes > 1e9);

  const { digest, info, phases, urls } = await page.evaluate(async () => {
    const phases = new Map();
    const onProgress = ({ phase, loaded, total }) => phases.set(phase, [loaded, total]);
    const model = await load({ onProgress });
    const urls = (await cache.list()).map(({ url }) => url);
    return { digest: await sha256(model), info: model.model, phases: [...phases], urls };
  });
  assert.equal(digest, SHA256.sft);
  assert.equal(info.sha256, SHA256.sft);
  assert.deepEqual(phases, [
    ['delta', [SFT.length, SFT.length]],
    ['base', [BASE.length, BASE.length]],
    ['restore', [MODEL_SIZE, MODEL_SIZE]],
  ]);
  assert.equal(urls.length, 2, 'base and model, and the delta is gone');

  env.origin.reset();
  const after = await page.evaluate(async () => ({ plan: await plan(), digest: await sha256(await load()) }));
  assert.equal(after.digest, SHA256.sft);
  assert.deepEqual(after.plan.model, { cached: true, size: MODEL_SIZE });
  assert.deepEqual([after.plan.fetchBytes, after.plan.storeBytes], [0, 0]);
  assert.equal(env.origin.log.length, 0, 'nobody was asked');
});

test('the next fine-tune of a base downloads only its delta, even under another URL', async (t) => {
  const page = await fineTunePage(t);
  await page.evaluate(() => load());
  env.origin.reset();
  const integrity = { base: sha256(BASE) };
  const { saved, digest } = await page.evaluate(async (integrity) => {
    const options = { base: paths.mirror, delta: paths.lora, integrity };
    const { savedBytes } = await plan(options);
    return { saved: savedBytes, digest: await sha256(await load(options)) };
  }, integrity);
  assert.equal(saved, BASE.length - LORA.length);
  assert.equal(digest, SHA256.lora);
  assert.deepEqual([...requested()], ['lora']);
  env.origin.reset();
  const again = await page.evaluate(async (integrity) => {
    const byDigest = await load({ base: '/elsewhere', delta: paths.lora, integrity });
    const byUrl = await load({ base: paths.mirror, delta: paths.lora });
    return [byDigest.model.sha256, byUrl.model.sha256];
  }, integrity);
  assert.deepEqual(again, [SHA256.lora, SHA256.lora]);
  assert.equal(env.origin.log.length, 0);
});

test('the base that a delta was made against is found by its digest, whatever its URL', async (t) => {
  const page = await fineTunePage(t);
  const delta = env.origin.put('sft-v2', readFileSync(join(vectors, 'sft-bf16.predicted.v2.bitx')));
  await page.evaluate(() => cache.fetch(paths.mirror));
  env.origin.reset();
  assert.equal(await page.evaluate(async (delta) => sha256(await load({ delta })), delta), SHA256.sft);
  assert.deepEqual(requested(), new Set(['sft-v2']), 'the base was not fetched again');
});

test('a model is not stored if `store` is false', async (t) => {
  const page = await fineTunePage(t);
  const result = await page.evaluate(async () => {
    const { storeBytes } = await plan({ store: false });
    const file = await load({ store: false });
    return { storeBytes, name: file.name, digest: await sha256(file), kept: (await cache.list()).length };
  });
  const storeBytes = BASE.length + SFT.length;
  assert.deepEqual(result, { storeBytes, name: 'sft', digest: SHA256.sft, kept: 2 });
});

test('an aborted call continues where it stopped', async (t) => {
  const page = await fineTunePage(t);
  env.origin.fault = ({ name }) => (name === 'base' ? { piece: 8192, delay: 5 } : undefined);
  const { error, stored } = await page.evaluate(async () => {
    const abort = new AbortController();
    const onProgress = ({ phase, loaded }) => {
      if (phase === 'base' && loaded > 500_000) abort.abort(new Error('enough'));
    };
    const error = await failure(load({ signal: abort.signal, onProgress }));
    return { error: error.code, stored: (await cache.stat(paths.base)).storedBytes };
  });
  assert.equal(error, 'aborted');
  assert.ok(stored >= CHUNK, `${stored} bytes are stored`);
  env.origin.reset();
  const { fetchBytes, digest } = await page.evaluate(async () => {
    const { fetchBytes } = await plan();
    return { fetchBytes, digest: await sha256(await load()) };
  });
  assert.equal(fetchBytes, BASE.length - stored);
  assert.equal(digest, SHA256.sft);
  assert.equal(env.origin.sent, BASE.length - stored);
});

test('calls that cannot succeed fail before the base is fetched', async (t) => {
  const page = await fineTunePage(t);
  env.origin.put('no-delta', Buffer.from('this is not an archive'));
  const format = await page.evaluate(() => failure(load({ delta: '/m/no-delta' })));
  assert.equal(format.code, 'format');
  assert.deepEqual([...requested()], ['no-delta']);
  env.origin.reset();
  const { error, planned } = await page.evaluate(async () => {
    navigator.storage.estimate = async () => ({ quota: 2_000_000, usage: 0 });
    return { error: await failure(load()), planned: await plan() };
  });
  assert.equal(planned.fits, false);
  const need = 2 * BASE.length + SFT.length;
  assert.deepEqual([error.code, error.need, error.have], ['quota', need, 2_000_000]);
  assert.equal(env.origin.sent, 0);
});

test('a wrong base or a wrong digest leaves no model', async (t) => {
  const page = await fineTunePage(t);
  env.origin.put('other-base', readFileSync(join(vectors, 'base-f32.safetensors')));
  const result = await page.evaluate(async () => {
    const mismatch = await failure(load({ base: '/m/other-base' }));
    const wrong = await failure(load({ integrity: { model: '0'.repeat(64) } }));
    return { codes: [mismatch.code, wrong.code], urls: (await cache.list()).map(({ url }) => url) };
  });
  assert.deepEqual(result.codes, ['base-mismatch', 'integrity']);
  assert.ok(
    result.urls.every((url) => url.startsWith('http')),
    `${result.urls}`,
  );
});

test('tabs that load the same model restore it once', async (t) => {
  const first = await fineTunePage(t);
  const second = await fineTunePage(t);
  const loading = [first, second].map((page) =>
    page.evaluate(async () => {
      const phases = new Set();
      const model = await load({ onProgress: ({ phase }) => phases.add(phase) });
      return { sha256: model.model.sha256, restored: phases.has('restore') };
    }),
  );
  const models = await Promise.all(loading);
  for (const { sha256 } of models) assert.equal(sha256, SHA256.sft);
  assert.deepEqual(models.map(({ restored }) => restored).sort(), [false, true]);
  assert.equal(env.origin.sent, BASE.length + SFT.length);
});

test('a server that does not answer to HEAD is asked for a byte', async (t) => {
  const page = await fineTunePage(t);
  env.origin.fault = ({ method }) => (method === 'HEAD' ? { status: 405 } : undefined);
  const { delta } = await page.evaluate(() => plan());
  assert.equal(delta.size, SFT.length);
  assert.equal(env.origin.sent, 2);
  env.origin.fault = () => ({ status: 404, headers: { 'content-range': undefined } });
  const unknown = await page.evaluate(() => plan());
  const { size } = unknown.delta;
  assert.deepEqual([size, unknown.fetchBytes, unknown.fits], [undefined, undefined, true]);
});

test('without a cache option, a call uses the shared cache', async (t) => {
  const page = await fineTunePage(t);
  const result = await page.evaluate(async () => {
    const options = { base: paths.base, delta: paths.sft };
    const model = await loadFineTune(options);
    const { model: planned } = await planFineTune(options);
    const models = await ModelCache.open({ name: 'models' });
    return { digest: await sha256(model), planned, there: (await models.list()).length };
  });
  assert.deepEqual(result, { digest: SHA256.sft, planned: { cached: true, size: MODEL_SIZE }, there: 2 });
});
