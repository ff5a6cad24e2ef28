import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomBytes } from './cache-origin.mjs';
import { CHUNK, cacheEnvironment, cachePage } from './cache-support.mjs';
import { sha256 } from './support.mjs';

const env = cacheEnvironment();
const MODEL = randomBytes(16 * CHUNK + 1000, 6);
const DIGEST = sha256(MODEL);
const slowly = () => ({ piece: 8192, delay: 4 });

/** Waits until the server has sent a number of bytes. */
async function sent(bytes) {
  while (env.origin.sent < bytes) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('tabs that request one model share the download, and each may leave', async (t) => {
  const path = env.origin.put('shared', MODEL);
  const pages = [await cachePage(t, env), await cachePage(t, env), await cachePage(t, env)];
  env.origin.fault = slowly;
  const fetched = pages.map((page) =>
    page.evaluate(async (path) => {
      const cache = await open({ name: 'shared' });
      const abort = new AbortController();
      globalThis.leave = () => abort.abort();
      const events = [];
      const onProgress = (event) => events.push(event.loaded);
      const call = cache.fetch(path, { signal: abort.signal, onProgress });
      return call.then(
        async (file) => ({ digest: await sha256(file), events }),
        ({ code }) => ({ code, events }),
      );
    }, path),
  );
  await sent(5 * CHUNK);
  // On a busy machine, the third tab may still be opening the cache.
  await pages[2].waitForFunction(() => globalThis.leave);
  await pages[2].evaluate(() => leave());
  const [first, second, third] = await Promise.all(fetched);
  assert.equal(third.code, 'aborted');
  if (env.origin.sent === MODEL.length) t.diagnostic('a tab that waited has left');
  else t.diagnostic('the tab that downloaded has left');
  for (const { digest, events } of [first, second]) {
    assert.equal(digest, DIGEST);
    assert.ok(events.length > 3, 'those that wait hear of it, too');
  }
  // At most the chunks on their way are lost with the tab that fetched them.
  assert.ok(env.origin.sent <= MODEL.length + 3 * CHUNK, `${env.origin.sent} bytes`);
});

test('if the downloading tab is closed, another continues', async (t) => {
  const path = env.origin.put('handed-on', MODEL);
  const [first, second] = [await cachePage(t, env), await cachePage(t, env)];
  env.origin.fault = slowly;
  const begin = (page) =>
    page.evaluate(async (path) => {
      const cache = await open({ name: 'handed-on' });
      return sha256(await cache.fetch(path));
    }, path);
  const lost = begin(first).catch(() => 'lost');
  await sent(CHUNK);
  const kept = begin(second);
  await sent(8 * CHUNK);
  await first.close();
  assert.equal(await kept, DIGEST);
  assert.equal(await lost, 'lost');
  assert.ok(env.origin.sent <= MODEL.length + 4 * CHUNK, `${env.origin.sent} bytes`);
});

test('two concurrent requests download once: by one URL, or by one digest', async (t) => {
  const [path, here, there] = ['one', 'here', 'there'].map((name) => env.origin.put(name, MODEL));
  const page = await cachePage(t, env);
  const twice = (name, urls, options) =>
    page.evaluate(
      async ([name, urls, options]) => {
        const caches = await Promise.all(urls.map(() => open({ name })));
        const files = await Promise.all(urls.map((url, index) => caches[index].fetch(url, options)));
        return Promise.all(files.map(sha256));
      },
      [name, urls, options],
    );
  assert.deepEqual(await twice('one-url', [path, path], {}), [DIGEST, DIGEST]);
  assert.equal(env.origin.sent, MODEL.length);
  env.origin.reset();
  assert.deepEqual(await twice('one-digest', [here, there], { integrity: DIGEST }), [DIGEST, DIGEST]);
  assert.equal(env.origin.sent, MODEL.length);
});

test('a file can be looked up during its download, but not deleted', async (t) => {
  const path = env.origin.put('watched', MODEL);
  const page = await cachePage(t, env);
  // The download is slow enough for several looks, even on a busy machine.
  env.origin.fault = () => ({ piece: 8192, delay: 20 });
  const result = await page.evaluate(async (path) => {
    const cache = await open({ name: 'watched' });
    const call = cache.fetch(path);
    const seen = [];
    let done = false;
    call.then(() => {
      done = true;
    });
    while (!done) {
      for (const { complete, storedBytes } of await cache.list()) seen.push(complete ? -1 : storedBytes);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const again = cache.fetch(`${path}?again`);
    while (!(await cache.stat(`${path}?again`))) await new Promise((resolve) => setTimeout(resolve, 5));
    const deleted = cache.delete(`${path}?again`);
    return { seen, size: (await again).size, deleted: await deleted };
  }, path);
  assert.ok(new Set(result.seen).size > 5);
  assert.deepEqual([result.size, result.deleted], [MODEL.length, true]);
});

test('close ends all calls and keeps the downloaded chunks', async (t) => {
  const path = env.origin.put('closed', MODEL);
  const page = await cachePage(t, env);
  env.origin.fault = slowly;
  const result = await page.evaluate(async (path) => {
    const cache = await open({ name: 'closed' });
    const call = failure(cache.fetch(path));
    while (((await cache.stat(path))?.storedBytes ?? 0) === 0) await new Promise((r) => setTimeout(r, 5));
    cache.close();
    const later = failure(cache.list());
    const other = await open({ name: 'closed' });
    const stored = (await other.stat(path)).storedBytes;
    return { codes: [(await call).code, (await later).code], stored };
  }, path);
  assert.deepEqual(result.codes, ['disposed', 'disposed']);
  assert.ok(result.stored > 0);
});
