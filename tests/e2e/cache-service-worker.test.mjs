/** The model cache in a service worker. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { randomBytes, silentFrom } from './cache-origin.mjs';
import { CHUNK, cacheEnvironment, cachePage } from './cache-support.mjs';
import { SHA256, sha256, vectors } from './support.mjs';

const env = cacheEnvironment();
const MODEL = randomBytes(9 * CHUNK + 1000, 6);
const DIGEST = sha256(MODEL);

/** Opens a page that sends commands to its service worker. */
async function workedPage(t) {
  const page = await cachePage(t, env);
  await page.evaluate(async () => {
    await navigator.serviceWorker.register('/cache-sw.js', { type: 'module' });
    const { active } = await navigator.serviceWorker.ready;
    if (!navigator.serviceWorker.controller) {
      await new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve));
    }
    globalThis.tell = async (action, cache, method, ...args) => {
      const { port1, port2 } = new MessageChannel();
      active.postMessage({ action, cache, method, args }, [port2]);
      const { data } = await new Promise((resolve) => {
        port1.onmessage = resolve;
      });
      if (data.error) throw Object.assign(new Error(data.error.message), data.error);
      return data.result;
    };
  });
  return page;
}

test('a service worker stores models, and pages find them in Cache Storage', async (t) => {
  const path = env.origin.put('stored', MODEL);
  const page = await workedPage(t);
  const result = await page.evaluate(async (path) => {
    const where = { name: 'shared' };
    const about = await tell('about', where);
    const file = await tell('call', where, 'fetch', path);
    const { ok } = await tell('call', where, 'verify', path);
    const cache = await open({ name: 'shared', backend: 'cache-storage' });
    const found = await cache.match(path);
    return { ...about, ok, digests: [await sha256(file), await sha256(found)], model: found.model.sha256 };
  }, path);
  t.diagnostic(`Worker is ${result.workers} there`);
  assert.equal(result.backend, 'cache-storage');
  assert.ok(result.ok);
  assert.deepEqual(result.digests, [DIGEST, DIGEST]);
  assert.equal(result.model, DIGEST);
  assert.equal(env.origin.sent, MODEL.length);
});

test('a download whose service worker was stopped continues in the next one', async (t) => {
  const path = env.origin.put('stopped', MODEL);
  const page = await workedPage(t);
  env.origin.fault = silentFrom(4 * CHUNK, 100);
  const stored = await page.evaluate(async (path) => {
    const where = { name: 'stopped' };
    void tell('call', where, 'fetch', path);
    for (;;) {
      const stat = await tell('call', where, 'stat', path);
      if (stat?.storedBytes >= 4 * QUICK.chunkSize) return stat.storedBytes;
    }
  }, path);
  const cdp = await env.context.newCDPSession(page);
  await cdp.send('ServiceWorker.enable');
  await cdp.send('ServiceWorker.stopAllWorkers');
  env.origin.reset();
  const digest = await page.evaluate(
    async (path) => sha256(await tell('call', { name: 'stopped' }, 'fetch', path)),
    path,
  );
  assert.equal(stored, 4 * CHUNK);
  assert.equal(digest, DIGEST);
  assert.equal(env.origin.sent, MODEL.length - stored);
});

test('a service worker finds the files of pages, and reports that it cannot write there', async (t) => {
  const path = env.origin.put('page', MODEL);
  const page = await workedPage(t);
  const result = await page.evaluate(async (path) => {
    const cache = await open({ name: 'files', backend: 'opfs' });
    await cache.fetch(path);
    const where = { name: 'files', backend: 'opfs' };
    const found = await tell('call', where, 'match', path);
    const other = `${path}?other`;
    const codes = [];
    for (const call of [
      () => tell('call', where, 'fetch', other),
      () => tell('call', where, 'put', 'bitx:x', new Blob(['1'])),
    ]) {
      codes.push(await call().catch(({ code }) => code));
    }
    const again = await tell('call', where, 'fetch', path);
    return { codes, digests: [await sha256(found), await sha256(again)], list: await cache.list() };
  }, path);
  assert.deepEqual(result.digests, [DIGEST, DIGEST]);
  assert.deepEqual(result.codes, ['unsupported', 'unsupported']);
  assert.equal(result.list.length, 1);
  assert.equal(env.origin.sent, MODEL.length);
});

test('a fine-tune is answered from a cached base, which is fetched once', async (t) => {
  const path = env.origin.put('base', readFileSync(join(vectors, 'base-bf16.safetensors')));
  const page = await workedPage(t);
  const digests = await page.evaluate(async (path) => {
    const ask = async () => sha256(await (await fetch(`/tuned?base=${path}`)).blob());
    return [await ask(), await ask()];
  }, path);
  assert.deepEqual(digests, [SHA256.sft, SHA256.sft]);
  const { length } = readFileSync(join(vectors, 'base-bf16.safetensors'));
  assert.equal(env.origin.sent, length);
});
