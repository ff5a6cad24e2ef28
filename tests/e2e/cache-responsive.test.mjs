import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomBytes } from './cache-origin.mjs';
import { cacheEnvironment, cachePage } from './cache-support.mjs';
import { longTasks } from './support.mjs';

const env = cacheEnvironment();

test('hashing and storing keep the page responsive', async (t) => {
  const path = env.origin.put('long', randomBytes(48 << 20, 7));
  const page = await cachePage(t, env);
  const fetchAnew = async (path) => {
    globalThis.cache ??= await ModelCache.open({ name: 'long', workerUrl: '/worker/plain.js' });
    await cache.delete(path);
    await cache.fetch(path, { onProgress: () => {} });
  };
  assert.deepEqual(await longTasks(page, fetchAnew, path), []);
});
