/** Cross-Origin Storage: one base for all sites. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FaultyFile } from './faulty-file.mjs';
import { environment, openPage, sha256, vectors } from './support.mjs';

const env = environment();
const BASE = readFileSync(join(vectors, 'base-bf16.safetensors'));
const digest = sha256(BASE);

/**
 * Runs in the page: puts Cross-Origin Storage into it, as the extension does, over a folder of the
 * origin private file system.
 */
function install() {
  const folder = async () =>
    (await navigator.storage.getDirectory()).getDirectoryHandle('shared', { create: true });
  const requests = [];
  const requestFileHandle = async ({ algorithm, value }, options = {}) => {
    requests.push([algorithm, value, options]);
    return (await folder()).getFileHandle(value, { create: options.create ?? false });
  };
  Object.assign(globalThis, {
    requests,
    keep: async (name, blob) => {
      const handle = await (await folder()).getFileHandle(name, { create: true });
      await blob.stream().pipeTo(await handle.createWritable());
    },
    kept: async (name) => {
      for (let tries = 0; tries < 100; tries++) {
        const handle = await (await folder()).getFileHandle(name).catch(() => undefined);
        const size = handle ? (await handle.getFile()).size : 0;
        if (size > 0) return size;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return undefined;
    },
  });
  Object.defineProperty(navigator, 'crossOriginStorage', { value: { requestFileHandle } });
}

async function site(t) {
  const base = new FaultyFile(BASE);
  env.mounts['/cos/base'] = base.mount;
  const page = await openPage(t, env);
  await page.evaluate(install);
  return { page, base };
}

/** Runs in the page: fetches the base into a cache, as one of several sites. */
async function fetchBase({ name, integrity, options = {}, open = {} }) {
  const { ModelCache } = await import('/bitx/cache.js');
  const cache = await ModelCache.open({ name, ...open });
  const call = integrity === undefined ? options : { ...options, integrity };
  const { model, size } = await cache.fetch('/cos/base', call);
  const { complete } = await cache.stat('/cos/base');
  cache.close();
  return { sha256: model.sha256, size, complete };
}

test('a file that one site has downloaded is not downloaded by another', async (t) => {
  const { page, base } = await site(t);
  const expected = { sha256: digest, size: BASE.length, complete: true };
  assert.deepEqual(await page.evaluate(fetchBase, { name: 'first', integrity: digest }), expected);
  assert.equal(await page.evaluate((name) => kept(name), digest), BASE.length);
  const before = base.log.length;
  assert.ok(before > 0);
  for (const [name, integrity] of [
    ['second', digest],
    ['third', `sha256-${Buffer.from(digest, 'hex').toString('base64')}`],
  ]) {
    assert.deepEqual(await page.evaluate(fetchBase, { name, integrity }), expected);
  }
  assert.equal(base.log.length, before);
  const offered = ['SHA-256', digest, { create: true, origins: '*' }];
  const asked = ['SHA-256', digest, {}];
  assert.deepEqual(await page.evaluate(() => requests), [asked, offered, asked, asked]);
});

test('a file that is cached asks for nothing', async (t) => {
  const { page, base } = await site(t);
  await page.evaluate(fetchBase, { name: 'one', integrity: digest });
  const before = [base.log.length, await page.evaluate(() => requests.length)];
  await page.evaluate(fetchBase, { name: 'one', integrity: digest });
  await page.evaluate(fetchBase, { name: 'one' });
  assert.deepEqual([base.log.length, await page.evaluate(() => requests.length)], before);
});

test('a shared file with other bytes is not used', async (t) => {
  const { page, base } = await site(t);
  await page.evaluate((name) => keep(name, new Blob(['not the model'])), digest);
  const found = await page.evaluate(fetchBase, { name: 'wrong', integrity: digest });
  assert.deepEqual(found, { sha256: digest, size: BASE.length, complete: true });
  assert.ok(base.log.length > 0);
});

test('without a SHA-256, the network is asked, and the file is offered', async (t) => {
  const { page } = await site(t);
  await page.evaluate(fetchBase, { name: 'plain' });
  assert.equal(await page.evaluate((name) => kept(name), digest), BASE.length);
  assert.deepEqual(await page.evaluate(() => requests.map(([, , { create }]) => create)), [true]);
});

test('a file that needs credentials is not offered, and a cache may keep to itself', async (t) => {
  const { page, base } = await site(t);
  const headers = { authorization: 'Bearer secret' };
  await page.evaluate(fetchBase, { name: 'private', options: { headers } });
  assert.deepEqual(await page.evaluate(() => requests), []);
  await page.evaluate(fetchBase, { name: 'alone', integrity: digest, open: { crossOrigin: false } });
  assert.deepEqual(await page.evaluate(() => requests), []);
  assert.ok(base.log.length > 1);
});

test('an abort does not wait for the user’s answer', async (t) => {
  const { page } = await site(t);
  const code = await page.evaluate(async (integrity) => {
    navigator.crossOriginStorage.requestFileHandle = () => new Promise(() => {});
    const { ModelCache } = await import('/bitx/cache.js');
    const cache = await ModelCache.open({ name: 'patient' });
    const signal = AbortSignal.timeout(200);
    return cache.fetch('/cos/base', { integrity, signal }).catch((error) => error.code);
  }, digest);
  assert.equal(code, 'aborted');
});
