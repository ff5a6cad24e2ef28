/** Digests that a caller requires of a fine-tune, and deltas that are damaged in the cache. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { blake3 } from 'hash-wasm';
import { cacheEnvironment, cachePage } from './cache-support.mjs';
import { SHA256, sha256, vectors } from './support.mjs';

const env = cacheEnvironment();
const bytesOf = (name) => readFileSync(join(vectors, name));
const BASE = bytesOf('base-bf16.safetensors');
const DELTA = bytesOf('sft-bf16.v2.bitx');
const WRONG = 'f'.repeat(64);

/** Opens a page with an empty cache, whose `load` returns the digest of the model, or the error. */
async function loadingPage(t) {
  const page = await cachePage(t, env);
  env.origin.put('base', BASE);
  env.origin.put('mirror', BASE);
  env.origin.put('delta', DELTA);
  await page.evaluate(
    async (name) => {
      globalThis.cache = await open({ name });
      globalThis.load = async (options) => {
        const call = loadFineTune({ base: '/m/base', delta: '/m/delta', cache, ...options });
        return call.then(sha256, async () => (await failure(call)).code);
      };
    },
    t.name.replaceAll(/\W+/g, '-'),
  );
  return page;
}

/** Returns the number of downloads of a file that have begun. */
const requests = (name) =>
  env.origin.log.filter((hit) => hit.name === name && /=0-\d{3}/.test(hit.range)).length;

/** A damaged archive whose head is whole. */
function damaged() {
  const bytes = Buffer.from(DELTA);
  bytes[bytes.length - 1] ^= 1;
  return bytes;
}

test("a model's digest is checked on every way that it can come", async (t) => {
  const page = await loadingPage(t);
  const found = await page.evaluate(
    async ([wrong, right]) => {
      const wrongly = { integrity: { model: wrong } };
      const rightly = { integrity: { model: right } };
      return {
        downloaded: await load(wrongly),
        notStored: await load({ ...wrongly, store: false }),
        notStoredRight: await load({ ...rightly, store: false }),
        stored: await load(),
        again: await load(rightly),
        againWrong: await load(wrongly),
        againNotStored: await load({ ...wrongly, store: false }),
        kept: await load(rightly),
      };
    },
    [WRONG, SHA256.sft],
  );
  const [model, no] = [SHA256.sft, 'integrity'];
  assert.deepEqual(found, {
    ...{ downloaded: no, notStored: no, notStoredRight: model, stored: model },
    ...{ again: model, againWrong: no, againNotStored: no, kept: model },
  });
});

test('a model that was restored from a wrong delta is not taken for one with a digest', async (t) => {
  const page = await loadingPage(t);
  const lora = bytesOf('lora-bf16.v1.bitx');
  env.origin.put('delta', lora);
  assert.equal(await page.evaluate(() => load()), SHA256.lora);
  env.origin.put('delta', DELTA);
  const model = await page.evaluate((model) => load({ integrity: { model } }), SHA256.sft);
  assert.equal(model, SHA256.sft);
});

test("a base's digest is checked, even if the archive names a base that is cached", async (t) => {
  const page = await loadingPage(t);
  const named = `blake3-${await blake3(BASE)}`;
  const found = await page.evaluate(
    async ([wrong, sha256, blake3]) => {
      await cache.fetch('/m/mirror');
      return {
        wrong: await load({ integrity: { base: wrong } }),
        wrongOfMany: await load({ base: ['/m/base'], integrity: { base: [wrong] } }),
        wrongNotStored: await load({ store: false, integrity: { base: wrong } }),
        right: await load({ integrity: { base: sha256 } }),
        otherwise: await load({ base: ['/elsewhere'], integrity: { base: [blake3] } }),
        afterwards: await load({ integrity: { base: wrong } }),
      };
    },
    [WRONG, sha256(BASE), named],
  );
  const [model, no] = [SHA256.sft, 'integrity'];
  assert.deepEqual(found, {
    ...{ wrong: no, wrongOfMany: no, wrongNotStored: no, right: model, otherwise: model, afterwards: no },
  });
});

test("a delta's digest is checked, even after its model was restored", async (t) => {
  const page = await loadingPage(t);
  const found = await page.evaluate(
    async ([wrong, right]) => [
      await load({ integrity: { delta: wrong } }),
      await load({ integrity: { delta: right } }),
      await load({ integrity: { delta: wrong } }),
      await load({ integrity: { delta: wrong }, store: false }),
    ],
    [WRONG, sha256(DELTA)],
  );
  assert.deepEqual(found, ['integrity', SHA256.sft, 'integrity', 'integrity']);
});

test('digests that are no digests, or fewer or more than the files, are refused', async (t) => {
  const page = await loadingPage(t);
  await page.evaluate(() => load());
  env.origin.reset();
  const codes = await page.evaluate(async (digest) => {
    const two = ['/m/base', '/m/mirror'];
    const calls = [
      { integrity: { model: '' } },
      { integrity: { model: null } },
      { integrity: { delta: 'md5-x' } },
      { integrity: { base: 'sha256-' } },
      { integrity: { base: [] } },
      { integrity: { base: [digest, digest] } },
      { base: two, integrity: { base: digest } },
      { base: two, integrity: { base: [digest] } },
      { base: two, integrity: { base: [digest, undefined] } },
    ];
    const codes = [];
    for (const call of calls) codes.push(await load(call));
    const plan = planFineTune({ base: two, delta: '/m/delta', cache, integrity: { base: [digest] } });
    return [...codes, (await failure(plan)).code];
  }, WRONG);
  assert.deepEqual(new Set(codes), new Set(['invalid-argument']));
  assert.equal(env.origin.log.length, 0);
});

test('a damaged delta is not used again', async (t) => {
  const page = await loadingPage(t);
  env.origin.put('delta', damaged());
  assert.equal(await page.evaluate(() => load()), 'corrupt');
  assert.equal(await page.evaluate(() => cache.has('/m/delta')), false);
  assert.equal(requests('delta'), 1);
  env.origin.put('delta', DELTA);
  assert.equal(await page.evaluate(() => load()), SHA256.sft);
});

for (const [what, bytes] of [
  ['damaged', damaged()],
  ['cut', DELTA.subarray(0, 50_000)],
  ['not an archive', Buffer.from('this is not an archive')],
]) {
  for (const store of [true, false]) {
    test(`a cached delta that is ${what} is fetched again once, store: ${store}`, async (t) => {
      const page = await loadingPage(t);
      const put = () => page.evaluate((text) => cache.put('/m/delta', new Blob([atobBytes(text)])), text);
      await page.evaluate(() => {
        globalThis.atobBytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
      });
      const text = bytes.toString('base64');
      await put();
      assert.equal(await page.evaluate((store) => load({ store }), store), SHA256.sft);
      assert.equal(requests('delta'), 1);
      if (store) return;
      // If the server's delta is damaged as well, one request shows it.
      env.origin.reset();
      env.origin.put('delta', damaged());
      await put();
      assert.match(await page.evaluate(() => load({ store: false })), /corrupt|truncated|format/);
      assert.equal(requests('delta'), 1);
    });
  }
}
