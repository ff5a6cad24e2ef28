import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { launchProfile } from '../../scripts/lib/browser.mjs';
import { packageDist } from '../../scripts/lib/paths.mjs';
import { serve } from '../../scripts/lib/server.mjs';
import { Origin } from './cache-origin.mjs';
import { patient, vectors } from './support.mjs';

/** The chunk size, so small that a model of a megabyte has many chunks. */
export const CHUNK = 1 << 16;

/**
 * The options of a cache with short pauses. The stall timeout is long: a busy machine that counted
 * as a stall would fetch bytes twice, and tests count them.
 */
export const QUICK = { chunkSize: CHUNK, retryDelay: 5, stallTimeout: 4000, workerUrl: '/worker/plain.js' };

const blank = (_, response) =>
  response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>');

/** Scripts that change something in the worker before they run the cache's own script. */
const WORKERS = {
  plain: '',
  'no-opfs': 'delete FileSystemFileHandle.prototype.createSyncAccessHandle;',
  'no-storage': `
    delete FileSystemFileHandle.prototype.createSyncAccessHandle;
    CacheStorage.prototype.open = () => Promise.reject(new DOMException('private', 'SecurityError'));`,
  // A browser that reports a small quota.
  small: `StorageManager.prototype.estimate = async () => ({ quota: 700_000, usage: 200_000 });`,
  // The n-th access to the storage is the worker's last, and a write stops half-way. Code that runs
  // on after a synchronous access must not send messages, since its error would look like that of a
  // live worker.
  mortal: `
    const nth = Number(new URL(import.meta.url).searchParams.get('n'));
    const deaths = new BroadcastChannel('deaths');
    let accesses = 0;
    const mortal = (type, method, last = () => {}) => {
      const real = type.prototype[method];
      type.prototype[method] = function (...args) {
        if (++accesses < nth) return real.apply(this, args);
        if (accesses === nth) last.call(this, real, ...args);
        globalThis.postMessage = () => {};
        deaths.postMessage({ nth, what: method });
        return new Promise(() => {});
      };
    };
    const half = function (write, bytes, options) {
      write.call(this, bytes.subarray(0, bytes.length / 2), options);
    };
    mortal(FileSystemSyncAccessHandle, 'write', half);
    for (const method of ['truncate', 'flush', 'close']) mortal(FileSystemSyncAccessHandle, method);
    mortal(FileSystemDirectoryHandle, 'removeEntry');
    for (const method of ['put', 'delete']) mortal(Cache, method);
    mortal(CacheStorage, 'delete');`,
  // The n-th write of any kind finds no space.
  'full-disk': `
    const nth = Number(new URL(import.meta.url).searchParams.get('n'));
    let writes = 0;
    const failing = (type, method) => {
      const real = type.prototype[method];
      type.prototype[method] = function (...args) {
        if (++writes === nth) throw new DOMException('no room', 'QuotaExceededError');
        return real.apply(this, args);
      };
    };
    failing(FileSystemSyncAccessHandle, 'write');
    failing(FileSystemSyncAccessHandle, 'truncate');
    failing(Cache, 'put');`,
};

/** A service worker with a cache, which runs commands of pages. */
const SERVICE_WORKER = `
import { ModelCache } from '/bitx/service-worker-cache.js';
import { RestoredFile } from '/bitx/service-worker.js';
const caches = {};
const open = ({ name, backend }) =>
  (caches[name + backend] ??= ModelCache.open({ name, backend, chunkSize: ${CHUNK}, retryDelay: 5 }));
const actions = {
  about: async ({ cache }) => ({ backend: cache.backend, workers: typeof Worker }),
  call: ({ cache, method, args }) => cache[method](...args),
};
const act = async ({ cache: options, action, ...rest }) => actions[action]({ cache: await open(options), ...rest });
const answer = ({ data, ports: [port] }) =>
  act(data).then(
    (result) => port.postMessage({ result }),
    ({ code, message }) => port.postMessage({ error: { code, message } }),
  );
addEventListener('message', (event) => event.waitUntil(answer(event)));
addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
const restored = async (base, request) => {
  const cache = await open({ name: 'bases' });
  const file = new RestoredFile({ base: await cache.fetch(base), delta: '/vectors/sft-bf16.v2.bitx' });
  return file.respond(request);
};
addEventListener('fetch', (event) => {
  const { pathname, searchParams } = new URL(event.request.url);
  if (pathname === '/tuned') event.respondWith(restored(searchParams.get('base'), event.request));
});
`;

function workerScript(request, response) {
  const name = /\/worker\/([\w-]+)\.js/.exec(request.url)[1];
  const script = `${WORKERS[name] ?? ''}\nawait import('/bitx/cache-worker.js');\n`;
  response.writeHead(200, { 'content-type': 'text/javascript' }).end(script);
}

/** Starts a server, a server of models on another origin, and a browser with a profile on disk. */
export function cacheEnvironment() {
  const env = { origin: new Origin(), servers: [] };
  before(async () => {
    env.folder = mkdtempSync(join(tmpdir(), 'bitx-cache-'));
    const mounts = {
      '/blank': blank,
      '/bitx/': packageDist,
      '/vectors/': vectors,
      '/worker/': workerScript,
      '/cache-sw.js': (_, response) =>
        response.writeHead(200, { 'content-type': 'text/javascript' }).end(SERVICE_WORKER),
      '/m/': env.origin.handler,
    };
    for (const name of ['page', 'other']) {
      const { server, address } = await serve({ mounts, isolated: false });
      env.servers.push(server);
      env[name] = address;
    }
    env.context = await launchProfile(env.folder);
  });
  after(async () => {
    await env.context?.close();
    for (const server of env.servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(env.folder, { recursive: true, force: true });
  });
  return env;
}

/**
 * Opens a page with helpers in its global scope. Errors that the page does not handle fail the
 * test.
 */
export async function cachePage(t, env, context = env.context) {
  const page = patient(await context.newPage());
  const unhandled = [];
  page.on('pageerror', (error) => unhandled.push(error));
  t.after(async () => {
    await page.close().catch(() => {});
    env.origin.reset();
    if (unhandled.length > 0) throw new AggregateError(unhandled, 'errors that the page did not handle');
  });
  await openHelpers(page, env);
  return page;
}

/** Opens or reloads the page, and prepares it. */
export async function openHelpers(page, env) {
  await page.goto(`${env.page}blank`);
  await page.evaluate(async (QUICK) => {
    const { ModelCache, ...exports } = await import('/bitx/cache.js');
    const { BitxError } = await import('/bitx/index.js');
    const hex = (buffer) =>
      Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
    Object.assign(globalThis, exports, {
      ModelCache,
      QUICK,
      open: (options) => ModelCache.open({ ...QUICK, ...options }),
      sha256: async (blob) => hex(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())),
      failure: async (promise) => {
        const error = await promise.then(
          () => new Error('it succeeded'),
          (thrown) => thrown,
        );
        if (!(error instanceof BitxError)) throw error;
        return { ...error, message: error.message };
      },
    });
  }, QUICK);
}
