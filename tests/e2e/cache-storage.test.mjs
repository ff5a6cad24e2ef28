import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomBytes, silentFrom, startOf } from './cache-origin.mjs';
import { CHUNK, cacheEnvironment, cachePage } from './cache-support.mjs';
import { sha256 } from './support.mjs';

const env = cacheEnvironment();
const MODEL = randomBytes(5 * CHUNK + 1000, 4);
const DIGEST = sha256(MODEL);

/** Adds functions to the page that change the stored data of a cache from outside. */
async function vandal(page) {
  await page.evaluate(() => {
    const folderOf = async (name) => {
      const root = await navigator.storage.getDirectory();
      const cache = await (await root.getDirectoryHandle('bitx-wasm')).getDirectoryHandle(`cache-${name}`);
      for await (const model of cache.values()) return model;
    };
    Object.assign(globalThis, {
      /** Rewrites a file of the only model of a cache. */
      change: async (name, file, change) => {
        const handle = await (await folderOf(name)).getFileHandle(file, { create: true });
        const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
        const writable = await handle.createWritable();
        await writable.write(change(bytes) ?? bytes);
        await writable.close();
      },
      flip: (bytes, at) => {
        bytes[at] ^= 0x80;
      },
      remove: async (name, file) => (await folderOf(name)).removeEntry(file),
      files: async (name) => {
        const names = [];
        for await (const file of (await folderOf(name)).keys()) names.push(file);
        return names.sort();
      },
      changeChunk: async (name, index) => {
        const [key] = (await caches.keys()).filter((key) => key.startsWith(`bitx-wasm/${name}/`));
        const cache = await caches.open(key);
        const url = `https://bitx-wasm.invalid/chunk/${index}`;
        const { headers } = await cache.match(url);
        await cache.put(url, new Response(new Uint8Array(QUICK.chunkSize), { headers }));
      },
    });
  });
}

test('the default is the best backend that works; a chosen one is used or fails', async (t) => {
  const page = await cachePage(t, env);
  const result = await page.evaluate(async () => {
    const backendOf = async (options) => (await open(options)).backend;
    const wanted = await failure(open({ backend: 'opfs', workerUrl: '/worker/no-opfs.js' }));
    return {
      best: await backendOf(),
      second: await backendOf({ workerUrl: '/worker/no-opfs.js' }),
      last: await backendOf({ workerUrl: '/worker/no-storage.js' }),
      wanted: wanted.code,
      missing: (await failure(open({ workerUrl: '/nowhere.js' }))).code,
    };
  });
  const expected = { best: 'opfs', second: 'cache-storage', last: 'memory', wanted: 'unsupported' };
  assert.deepEqual(result, { ...expected, missing: 'start-failed' });
});

test('without workerUrl, the package finds its own worker script', async (t) => {
  const page = await cachePage(t, env);
  assert.equal(await page.evaluate(async () => (await ModelCache.open()).backend), 'opfs');
});

for (const backend of ['opfs', 'cache-storage']) {
  test(`${backend}: wrong bytes are found, and only their chunks fetched again`, async (t) => {
    const path = env.origin.put('damaged', MODEL);
    const page = await cachePage(t, env);
    await vandal(page);
    await page.evaluate(
      async ([backend, path]) => {
        globalThis.cache = await open({ name: `damaged-${backend}`, backend });
        await cache.fetch(path);
        const damage = {
          opfs: () => change('damaged-opfs', 'data', (bytes) => flip(bytes, 2 * QUICK.chunkSize + 5)),
          'cache-storage': () => changeChunk('damaged-cache-storage', 2),
        };
        await damage[backend]();
      },
      [backend, path],
    );
    env.origin.reset();
    const result = await page.evaluate(async (path) => {
      const verdicts = [await cache.verify(path)];
      const { complete, storedBytes } = await cache.stat(path);
      const file = await cache.fetch(path);
      const digest = await sha256(file);
      verdicts.push(await cache.verify(path));
      return { verdicts, complete, storedBytes, digest, same: digest === file.model.sha256 };
    }, path);
    assert.deepEqual(result.verdicts, [
      { ok: false, badChunks: [{ offset: 2 * CHUNK, length: CHUNK }] },
      { ok: true, badChunks: [] },
    ]);
    assert.deepEqual([result.complete, result.storedBytes], [false, MODEL.length - CHUNK]);
    assert.ok(result.same);
    assert.equal(result.digest, DIGEST);
    assert.deepEqual(
      env.origin.log.map(({ range }) => range),
      [`bytes=${2 * CHUNK}-${3 * CHUNK - 1}`],
    );
  });
}

/** Fetches a model, calls `damage`, fetches it again, and returns the result and the bytes sent. */
async function afterDamage(t, damage, server = MODEL) {
  const name = t.name.replaceAll(/\W+/g, '-');
  const path = env.origin.put(name, MODEL);
  const page = await cachePage(t, env);
  await vandal(page);
  await page.evaluate(
    async ([name, path]) => {
      globalThis.cache = await open({ name });
      await cache.fetch(path);
    },
    [name, path],
  );
  await page.evaluate(damage, name);
  env.origin.reset();
  env.origin.put(name, server);
  const result = await page.evaluate(async (path) => {
    const there = await cache.has(path);
    return { there, digest: await sha256(await cache.fetch(path)) };
  }, path);
  return { ...result, sent: env.origin.sent };
}

test('a truncated file is incomplete, and its rest is fetched', async (t) => {
  const cut = (name) => change(name, 'data', (bytes) => bytes.subarray(0, 3.5 * QUICK.chunkSize));
  const { there, digest, sent } = await afterDamage(t, cut);
  assert.deepEqual([there, digest, sent], [false, DIGEST, MODEL.length - 3 * CHUNK]);
});

test('a file that was evicted without its manifest is fetched again', async (t) => {
  const { there, digest, sent } = await afterDamage(t, (name) => remove(name, 'data'));
  assert.deepEqual([there, digest, sent], [false, DIGEST, MODEL.length]);
});

test('a damaged file is replaced if the server has a new version', async (t) => {
  const other = Buffer.from(MODEL).reverse();
  const cut = (name) => change(name, 'data', (bytes) => bytes.subarray(0, 1000));
  const { digest } = await afterDamage(t, cut, other);
  assert.equal(digest, sha256(other));
});

test('an incomplete manifest is invalid', async (t) => {
  const path = env.origin.put('half', MODEL);
  const page = await cachePage(t, env);
  await vandal(page);
  const states = await page.evaluate(async (path) => {
    const cache = await open({ name: 'half' });
    await cache.fetch(path);
    let whole;
    await change('half', 'manifest', (bytes) => {
      whole = bytes.slice();
    });
    const states = [];
    for (let length = 0; length < whole.length; length += 7) {
      await change('half', 'manifest', () => whole.subarray(0, length));
      states.push(await cache.has(path));
    }
    await change('half', 'manifest', () => new Uint8Array(whole.length));
    states.push(await cache.has(path), (await cache.list()).length);
    await change('half', 'manifest', () => whole);
    return [...states, await cache.has(path)];
  }, path);
  assert.deepEqual(states.slice(-2), [0, true]);
  assert.ok(states.length > 50 && states.slice(0, -1).every((state) => !state));
});

/** Adds a function to the page that downloads four chunks of a model and then aborts. */
async function beginner(page) {
  await page.evaluate(() => {
    globalThis.beginPart = async (cache, path) => {
      const abort = new AbortController();
      const call = failure(cache.fetch(path, { signal: abort.signal }));
      while (((await cache.stat(path))?.storedBytes ?? 0) < 4 * QUICK.chunkSize) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      abort.abort();
      await call;
    };
  });
}

const firstFour = silentFrom(4 * CHUNK, 0);

test('a journal that is cut anywhere still records the chunks before the cut', async (t) => {
  const path = env.origin.put('journal', MODEL);
  const page = await cachePage(t, env);
  await vandal(page);
  await beginner(page);
  await page.evaluate(async () => {
    globalThis.cache = await open({ name: 'journal', stallTimeout: 60_000 });
  });
  const seen = new Set();
  for (let cut = 0; cut < 650; cut += 41) {
    env.origin.log = [];
    env.origin.fault = firstFour;
    const stored = await page.evaluate(
      async ([path, cut]) => {
        await beginPart(cache, path);
        await change('journal', 'journal', (bytes) => bytes.subarray(0, cut));
        return (await cache.stat(path))?.storedBytes ?? 0;
      },
      [path, cut],
    );
    env.origin.reset();
    const digest = await page.evaluate(async (path) => {
      const digest = await sha256(await cache.fetch(path));
      await cache.delete(path);
      return digest;
    }, path);
    seen.add(stored / CHUNK);
    assert.equal(digest, DIGEST);
    assert.equal(env.origin.sent, MODEL.length - stored);
  }
  assert.deepEqual([...seen], [0, 1, 2, 3, 4]);
});

test('an incomplete model never counts as complete, however its record is damaged', async (t) => {
  const path = env.origin.put('part', MODEL);
  const page = await cachePage(t, env);
  await vandal(page);
  await beginner(page);
  env.origin.fault = firstFour;
  const result = await page.evaluate(async (path) => {
    globalThis.cache = await open({ name: 'part', stallTimeout: 60_000 });
    await beginPart(cache, path);
    let size;
    await change('part', 'data', (bytes) => {
      size = bytes.length;
    });
    await remove('part', 'journal');
    return { size, has: await cache.has(path), match: await cache.match(path), list: await cache.list() };
  }, path);
  assert.deepEqual(result, { size: MODEL.length, has: false, match: undefined, list: [] });
  env.origin.reset();
  const digest = await page.evaluate(async (path) => sha256(await cache.fetch(path)), path);
  assert.equal(digest, DIGEST);
  assert.equal(env.origin.sent, MODEL.length);
});

test('wrong bytes in an incomplete model are fetched again, and no others', async (t) => {
  const path = env.origin.put('wrong-part', MODEL);
  const page = await cachePage(t, env);
  await vandal(page);
  await beginner(page);
  env.origin.fault = firstFour;
  await page.evaluate(async (path) => {
    globalThis.cache = await open({ name: 'wrong-part', stallTimeout: 60_000 });
    await beginPart(cache, path);
    await change('wrong-part', 'data', (bytes) => flip(bytes, QUICK.chunkSize));
  }, path);
  env.origin.reset();
  const digest = await page.evaluate(async (path) => sha256(await cache.fetch(path)), path);
  assert.equal(digest, DIGEST);
  const starts = env.origin.log.map((hit) => startOf(hit) / CHUNK);
  assert.deepEqual(starts.sort(), [1, 4, 5]);
});

test('a model is complete or missing, and leaves nothing behind', async (t) => {
  const path = env.origin.put('tidy', MODEL);
  const page = await cachePage(t, env);
  await vandal(page);
  const result = await page.evaluate(async (path) => {
    const cache = await open({ name: 'tidy' });
    await cache.fetch(path);
    return files('tidy');
  }, path);
  assert.deepEqual(result, ['data', 'manifest']);
});

test('a file that is open elsewhere is an error until it is closed', async (t) => {
  const path = env.origin.put('held', MODEL);
  const page = await cachePage(t, env);
  await vandal(page);
  const [cut, other] = [await cachePage(t, env), page];
  const code = await other.evaluate(async (path) => {
    globalThis.cache = await open({ name: 'held' });
    await cache.fetch(path);
    await change('held', 'data', (bytes) => bytes.subarray(0, 1000));
    return 'cut';
  }, path);
  assert.equal(code, 'cut');
  await cut.evaluate(async () => {
    const source = `
      onmessage = async ({ data }) => {
        const root = await navigator.storage.getDirectory();
        const cache = await (await root.getDirectoryHandle('bitx-wasm')).getDirectoryHandle('cache-held');
        for await (const model of cache.values()) {
          self.access = await (await model.getFileHandle('data')).createSyncAccessHandle();
        }
        postMessage('held');
      };`;
    globalThis.holder = new Worker(URL.createObjectURL(new Blob([source])));
    const held = new Promise((resolve) => {
      holder.onmessage = resolve;
    });
    holder.postMessage('hold');
    await held;
  });
  const error = await other.evaluate(async (path) => failure(cache.fetch(path)), path);
  assert.equal(error.code, 'locked');
  await cut.close();
  assert.equal(await other.evaluate(async (path) => sha256(await cache.fetch(path)), path), DIGEST);
});
