/**
 * The part of the tests that runs in the browsers: the page runs the function that its URL names.
 */
import { BitxError } from '/bitx/index.js';

const models = { base: '/vectors/base-bf16.safetensors', delta: '/vectors/sft-bf16.v2.bitx' };
const QUICK = { chunkSize: 1 << 16, retryDelay: 5, stallTimeout: 60_000 };

const sha256 = async (body) => {
  const digest = await crypto.subtle.digest('SHA-256', await new Response(body).arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
};

async function withBitx(action, options) {
  const { Bitx } = await import('/bitx/index.js');
  const bitx = await Bitx.create(options);
  try {
    return { mode: bitx.mode, ...(await action(bitx)) };
  } finally {
    bitx.dispose();
  }
}

const scenarios = {
  restore: () =>
    withBitx(async (bitx) => {
      const phases = new Set();
      const onProgress = ({ phase }) => phases.add(phase);
      const blob = await bitx.restore({ ...models, onProgress });
      return { sha256: await sha256(blob), progressed: phases.size > 0, isolated: crossOriginIsolated };
    }),

  stream: () =>
    withBitx(async (bitx) => {
      const { stream, length } = await bitx.restoreStream(models);
      return { sha256: await sha256(stream), length };
    }),

  'to-file': () =>
    withBitx(async (bitx) => {
      const root = await navigator.storage.getDirectory();
      const output = await root.getFileHandle('restored', { create: true });
      await bitx.restore({ ...models, output });
      const again = await bitx.compress({ base: models.base, target: output });
      return { sha256: await sha256(await output.getFile()), archive: again.size };
    }),

  compress: () =>
    withBitx(async (bitx) => {
      const target = await bitx.restore(models);
      const delta = await bitx.compress({ base: models.base, target });
      const restored = await bitx.restore({ base: models.base, delta });
      return { sha256: await sha256(restored), smaller: delta.size < target.size / 3 };
    }),

  errors: () =>
    withBitx(async (bitx) => {
      const code = (promise) =>
        promise.then(
          () => 'none',
          (error) => error instanceof BitxError && error.code,
        );
      const abort = new AbortController();
      const aborted = code(bitx.restore({ ...models, signal: abort.signal }));
      abort.abort();
      return {
        missing: await code(bitx.restore({ ...models, base: '/nothing' })),
        swapped: await code(bitx.restore({ base: models.delta, delta: models.base })),
        aborted: await aborted,
      };
    }),

  cache: async ({ path }) => {
    const { ModelCache } = await import('/bitx/cache.js');
    const cache = await ModelCache.open({ ...QUICK, name: 'browsers' });
    const stored = (await cache.stat(path))?.storedBytes ?? 0;
    const file = await cache.fetch(path);
    const { ok } = await cache.verify(path);
    cache.close();
    return { backend: cache.backend, stored, ok, sha256: await sha256(file) };
  },

  interrupted: async ({ path, bytes }) => {
    const { ModelCache } = await import('/bitx/cache.js');
    const cache = await ModelCache.open({ ...QUICK, name: 'interrupted' });
    const abort = new AbortController();
    const code = cache.fetch(path, { signal: abort.signal }).catch((error) => error.code);
    let stored = 0;
    while (stored < Number(bytes)) {
      stored = (await cache.stat(path))?.storedBytes ?? 0;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    abort.abort();
    const aborted = await code;
    const file = await cache.fetch(path);
    const { ok } = await cache.verify(path);
    cache.close();
    return { backend: cache.backend, aborted, stored, ok, sha256: await sha256(file) };
  },

  'fine-tune': async () => {
    const { loadFineTune, ModelCache, planFineTune } = await import('/bitx/cache.js');
    const cache = await ModelCache.open({ ...QUICK, name: 'fine-tunes' });
    const { fits, fetchBytes } = await planFineTune({ ...models, cache });
    const digest = await sha256(await loadFineTune({ ...models, cache }));
    const { model } = await planFineTune({ ...models, cache });
    cache.close();
    return { fits, fetches: fetchBytes > 0, sha256: digest, cached: model.cached };
  },

  'service-worker': async () => {
    await navigator.serviceWorker.register('/sw.js', { type: 'module' });
    if (!navigator.serviceWorker.controller) {
      await new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve));
    }
    const whole = await fetch('/tuned');
    const part = await fetch('/tuned', { headers: { range: 'bytes=1000000-1000099' } });
    return {
      sha256: await sha256(whole.body),
      status: part.status,
      part: (await part.arrayBuffer()).byteLength,
    };
  },
};

const { scenario, ...options } = Object.fromEntries(new URLSearchParams(location.search));
document.title = scenario;
const result = await scenarios[scenario](options).catch((error) => ({
  error: `${error.code ?? error.name}: ${error.message}`,
}));
document.body.textContent = JSON.stringify(result);
document.title = 'done';
