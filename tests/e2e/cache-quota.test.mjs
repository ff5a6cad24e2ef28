import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomBytes } from './cache-origin.mjs';
import { CHUNK, cacheEnvironment, cachePage } from './cache-support.mjs';
import { sha256 } from './support.mjs';

const env = cacheEnvironment();
const MODEL = randomBytes(20 * CHUNK + 1000, 5);
const SMALL = MODEL.subarray(0, 3 * CHUNK + 10);

/**
 * Makes the browser grant a number of bytes beyond those stored; without a number, the usual quota.
 */
async function grant(t, page) {
  const cdp = await env.context.newCDPSession(page);
  const origin = new URL(env.page).origin;
  const lift = () => cdp.send('Storage.overrideQuotaForOrigin', { origin }).catch(() => {});
  t.after(lift);
  return async (more) => {
    if (more === undefined) return lift();
    const { usage } = await page.evaluate(() => navigator.storage.estimate());
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage + more });
  };
}

/** An answer of unknown length. */
const endless = () => ({
  ignoreRange: true,
  extra: Buffer.alloc(0),
  headers: { 'content-length': undefined },
});

test('opfs: a file is refused before the first byte, even if the browser reports no quota', async (t) => {
  const path = env.origin.put('early', MODEL);
  const page = await cachePage(t, env);
  const quota = await grant(t, page);
  await page.evaluate(async () => {
    globalThis.cache = await open({ name: 'early', backend: 'opfs' });
  });
  await quota(500_000);
  env.origin.fault = () => ({ piece: 1000, delay: 20 });
  const error = await page.evaluate(async (path) => failure(cache.fetch(path)), path);
  assert.deepEqual([error.code, error.need], ['quota', MODEL.length]);
  assert.ok(env.origin.sent < 20_000, `${env.origin.sent} bytes were sent`);
  assert.equal(await page.evaluate((path) => cache.match(path), path), undefined);
  await quota();
  env.origin.reset();
  const digest = await page.evaluate(async (path) => sha256(await cache.fetch(path)), path);
  assert.equal(digest, sha256(MODEL));
});

for (const backend of ['opfs', 'cache-storage']) {
  test(`${backend}: the quota is checked before the first byte`, async (t) => {
    const path = env.origin.put(`small-${backend}`, MODEL);
    const page = await cachePage(t, env);
    env.origin.fault = () => ({ piece: 1000, delay: 20 });
    const { fetched, put, list } = await page.evaluate(
      async ([backend, path, size]) => {
        const cache = await open({ name: `small-${backend}`, backend, workerUrl: '/worker/small.js' });
        const fetched = await failure(cache.fetch(path));
        const put = await failure(cache.put('bitx:big', new Blob([new Uint8Array(size)])));
        return { fetched, put, list: await cache.list() };
      },
      [backend, path, MODEL.length],
    );
    for (const { code, need, have } of [fetched, put]) {
      assert.deepEqual([code, need, have], ['quota', MODEL.length, 500_000]);
    }
    assert.ok(env.origin.sent < 20_000, `${env.origin.sent} bytes were sent`);
    assert.deepEqual(list, []);
  });

  test(`${backend}: storage that runs out during a download is the same error`, async (t) => {
    const path = env.origin.put(`late-${backend}`, MODEL);
    const page = await cachePage(t, env);
    const quota = await grant(t, page);
    await page.evaluate(async (backend) => {
      globalThis.cache = await open({ name: `late-${backend}`, backend });
    }, backend);
    await quota(600_000);
    env.origin.fault = endless;
    const { error, left } = await page.evaluate(
      async (path) => ({ error: await failure(cache.fetch(path)), left: await cache.stat(path) }),
      path,
    );
    assert.deepEqual([error.code, typeof error.need, left], ['quota', 'number', undefined]);
    const put = await page.evaluate(
      async (size) => failure(cache.put('bitx:big', new Blob([new Uint8Array(size)]).stream())),
      MODEL.length,
    );
    assert.equal(put.code, 'quota');
    await quota();
    env.origin.reset();
    const digest = await page.evaluate(async (path) => sha256(await cache.fetch(path)), path);
    assert.equal(digest, sha256(MODEL));
  });

  test(`${backend}: a write without room leaves an incomplete file that the next call completes`, async (t) => {
    const path = env.origin.put(`nth-${backend}`, SMALL);
    const page = await cachePage(t, env);
    const rounds = await page.evaluate(
      async ([backend, path]) => {
        const rounds = [];
        for (let n = 1; ; n++) {
          const name = `nth-${backend}`;
          // Opening Cache Storage also writes, to test if it works: that write does not count.
          const skip = backend === 'opfs' ? 0 : 1;
          const failing = await open({ name, backend, workerUrl: `/worker/full-disk.js?n=${n + skip}` });
          const call = failing.fetch(path);
          const error = await call.then(
            () => undefined,
            () => failure(call),
          );
          failing.close();
          const cache = await open({ name, backend });
          const between = await cache.stat(path);
          const digest = await sha256(await cache.fetch(path));
          await cache.delete(path);
          cache.close();
          rounds.push({ code: error?.code, complete: between?.complete, digest });
          if (!error) return rounds;
        }
      },
      [backend, path],
    );
    assert.ok(rounds.length > 5, `${rounds.length} rounds`);
    for (const [n, { code, complete, digest }] of rounds.slice(0, -1).entries()) {
      assert.equal(code, 'quota', `write ${n + 1}`);
      assert.ok(!complete, `write ${n + 1}`);
      assert.equal(digest, sha256(SMALL));
    }
    t.diagnostic(`${rounds.length - 1} writes`);
  });
}

test('the browser is asked once not to evict the models', async (t) => {
  const path = env.origin.put('persist', SMALL);
  const page = await cachePage(t, env);
  const asked = await page.evaluate(async (path) => {
    let asked = 0;
    StorageManager.prototype.persisted = async () => false;
    StorageManager.prototype.persist = async () => {
      asked++;
      throw new TypeError('refused');
    };
    const cache = await open({ name: 'persist' });
    await cache.fetch(path);
    await cache.fetch(`${path}?again`);
    const counts = [asked];
    const other = await open({ name: 'persist', persist: false });
    await other.fetch(path);
    const memory = await open({ name: 'persist', backend: 'memory' });
    await memory.fetch(path);
    return [...counts, asked];
  }, path);
  assert.deepEqual(asked, [1, 1]);
});
