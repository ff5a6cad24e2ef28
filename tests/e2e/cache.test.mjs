import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomBytes, silentFrom } from './cache-origin.mjs';
import { CHUNK, cacheEnvironment, cachePage } from './cache-support.mjs';
import { sha256 } from './support.mjs';

const env = cacheEnvironment();
const MODEL = randomBytes(5 * CHUNK + 1000, 1);
const DIGEST = sha256(MODEL);
const BACKENDS = ['opfs', 'cache-storage', 'memory'];

for (const backend of BACKENDS) {
  test(`${backend}: a model is fetched once, and stays the same file`, async (t) => {
    const path = env.origin.put('once', MODEL);
    const page = await cachePage(t, env);
    const result = await page.evaluate(
      async ([backend, path]) => {
        const cache = await open({ name: 'once', backend });
        const events = [];
        const before = [await cache.has(path), await cache.match(path), await cache.stat(path)];
        const first = await cache.fetch(path, { onProgress: (event) => events.push(event) });
        const again = await cache.fetch(path);
        const slice = await again.slice(70_000, 70_010).arrayBuffer();
        const list = await cache.list();
        const digests = [await sha256(first), first.model, again.model];
        const { ok } = await cache.verify(path);
        const deleted = [await cache.delete(path), await cache.delete(path), await cache.has(path)];
        return {
          ...{ backend: cache.backend, before, events, deleted, ok, list, digests },
          file: again instanceof File,
          slice: Array.from(new Uint8Array(slice)),
        };
      },
      [backend, path],
    );
    const url = new URL(path, env.page).href;
    assert.equal(result.backend, backend);
    assert.deepEqual(result.before, [false, undefined, undefined]);
    const [digest, model, same] = result.digests;
    assert.equal(digest, DIGEST);
    assert.deepEqual(model, same);
    assert.equal(model.sha256, DIGEST);
    assert.equal(model.url, url);
    assert.deepEqual(result.list, [
      { url, complete: true, size: MODEL.length, storedBytes: MODEL.length, model },
    ]);
    assert.deepEqual(result.slice, [...MODEL.subarray(70_000, 70_010)]);
    assert.deepEqual(result.deleted, [true, false, false]);
    assert.ok(result.ok && result.file);
    assert.deepEqual(result.events.at(-1), { phase: 'download', loaded: MODEL.length, total: MODEL.length });
    assert.equal(env.origin.sent, MODEL.length);
  });

  test(`${backend}: an aborted download continues where it stopped`, async (t) => {
    const path = env.origin.put('resumed', MODEL);
    const page = await cachePage(t, env);
    env.origin.fault = silentFrom(3 * CHUNK, 100);
    const result = await page.evaluate(
      async ([backend, path]) => {
        const cache = await open({ name: 'resumed', backend, stallTimeout: 60_000 });
        const abort = new AbortController();
        const call = failure(cache.fetch(path, { signal: abort.signal }));
        while (((await cache.stat(path))?.storedBytes ?? 0) < 3 * QUICK.chunkSize) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        abort.abort();
        const { code } = await call;
        globalThis.cache = cache;
        return { code, stat: await cache.stat(path), there: await cache.match(path) };
      },
      [backend, path],
    );
    assert.equal(result.code, 'aborted');
    assert.equal(result.there, undefined, 'a part is not a model');
    const { complete, storedBytes, size } = result.stat;
    assert.deepEqual(
      { complete, storedBytes, size },
      { complete: false, storedBytes: 3 * CHUNK, size: MODEL.length },
    );
    env.origin.reset();
    const digest = await page.evaluate(async (path) => sha256(await cache.fetch(path)), path);
    assert.equal(digest, DIGEST);
    assert.equal(env.origin.sent, MODEL.length - 3 * CHUNK);
  });

  test(`${backend}: blobs and streams are stored completely or not at all`, async (t) => {
    const path = env.origin.put('source', MODEL);
    const page = await cachePage(t, env);
    const result = await page.evaluate(
      async ([backend, path, digest]) => {
        const cache = await open({ name: 'put', backend });
        const blob = await (await fetch(path)).blob();
        const labels = { made: 'here' };
        const one = await cache.put('bitx:one', blob, { labels, integrity: `sha256-${digest}` });
        const two = await cache.put('bitx:two', blob.stream());
        const files = [await sha256(one), await sha256(two), await sha256(await cache.match('bitx:two'))];
        const breaking = new ReadableStream({
          pull(controller) {
            if (this.begun) throw new TypeError('it broke');
            this.begun = true;
            controller.enqueue(new Uint8Array(100_000));
          },
        });
        const broken = await cache.put('bitx:two', breaking).catch(({ message }) => message);
        const wrong = await failure(cache.put('bitx:three', blob, { integrity: '0'.repeat(64) }));
        const short = await failure(cache.put('bitx:four', blob.stream(), { size: blob.size + 1 }));
        const urls = (await cache.list()).map(({ url }) => url);
        return { files, labels: one.model.labels, broken, wrong, short, urls };
      },
      [backend, path, DIGEST],
    );
    assert.deepEqual(result.files, [DIGEST, DIGEST, DIGEST]);
    assert.deepEqual(result.labels, { made: 'here' });
    assert.equal(result.broken, 'it broke');
    assert.deepEqual([result.wrong.code, result.wrong.found], ['integrity', DIGEST]);
    assert.deepEqual([result.short.code, result.short.found], ['truncated', MODEL.length]);
    assert.deepEqual(result.urls, ['bitx:one']);
  });

  test(`${backend}: a model is found by its digest under any URL, and only then`, async (t) => {
    const [path, mirror] = [env.origin.put('found', MODEL), env.origin.put('mirror', MODEL)];
    const page = await cachePage(t, env);
    const base64 = Buffer.from(DIGEST, 'hex').toString('base64');
    const forms = [
      `sha256-${base64}`,
      `sha256-${DIGEST}`,
      `sha256:${DIGEST}`,
      `"${DIGEST}"`,
      DIGEST.toUpperCase(),
    ];
    const result = await page.evaluate(
      async ([backend, path, mirror, forms]) => {
        const cache = await open({ name: 'found', backend });
        const none = await cache.findByDigest(forms[0]);
        const { blake3 } = (await cache.fetch(path, { integrity: forms[0] })).model;
        const urls = [];
        for (const integrity of [...forms, `blake3-${blake3}`]) {
          urls.push((await cache.fetch(mirror, { integrity })).model.url);
          urls.push((await cache.findByDigest(integrity)).model.url);
        }
        const bad = await failure(cache.findByDigest('md5-1234'));
        const unfit = await failure(cache.fetch(path, { integrity: `sha256-${'0'.repeat(64)}` }));
        return { none, urls, bad: bad.code, unfit, left: await cache.list() };
      },
      [backend, path, mirror, forms],
    );
    assert.equal(result.none, undefined);
    assert.deepEqual(new Set(result.urls), new Set([new URL(path, env.page).href]));
    assert.equal(result.bad, 'invalid-argument');
    const { code, expected, found } = result.unfit;
    assert.deepEqual(
      { code, expected, found },
      { code: 'integrity', expected: '0'.repeat(64), found: DIGEST },
    );
    assert.deepEqual(result.left, [], 'wrong bytes are not kept');
    assert.equal(env.origin.sent, 2 * MODEL.length);
  });
}

test('invalid calls are refused', async (t) => {
  const page = await cachePage(t, env);
  const codes = await page.evaluate(async () => {
    const cache = await open({ name: 'sense' });
    const calls = [
      open({ chunkSize: 0 }),
      open({ connections: 1.5 }),
      cache.verify('/not/here'),
      cache.fetch('/m/once', { integrity: 'sha256-short' }),
      cache.fetch('/m/once', { signal: AbortSignal.abort() }),
    ];
    return (await Promise.all(calls.map(failure))).map(({ code }) => code);
  });
  assert.deepEqual(codes, [...new Array(4).fill('invalid-argument'), 'aborted']);
});
