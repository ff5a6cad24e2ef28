/** Hosts other than a page with module workers: classic workers, workers and shared workers. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';
import { packageDist } from '../../scripts/lib/paths.mjs';
import { environment, openPage, SHA256 } from './support.mjs';

const env = environment();
const script = (text) => (_, response) =>
  response.writeHead(200, { 'content-type': 'text/javascript' }).end(text);

/** Bundles the worker's script for classic workers, as the bundler of Next.js does. */
async function classicScript() {
  const { outputFiles } = await build({
    entryPoints: [join(packageDist, 'worker.js')],
    ...{ bundle: true, write: false, format: 'iife' },
    define: { 'import.meta.url': 'self.location.href' },
  });
  // A module worker fails at this line, like a bundle that loads its parts with it.
  return `importScripts();\n${outputFiles[0].text}`;
}

for (const [isolated, mode] of [
  [true, 'threads'],
  [false, 'pool'],
]) {
  test(`a script that a bundler made classic starts its helpers as classic workers: ${mode}`, async (t) => {
    env.mounts['/classic.js'] = script(await classicScript());
    const page = await openPage(t, env, { isolated });
    const found = await page.evaluate(async () => {
      const { Worker } = globalThis;
      globalThis.Worker = function classicWorker(url) {
        return new Worker(url);
      };
      const { Bitx } = await import('/bitx/index.js');
      const bitx = await Bitx.create({ threads: 2, workerUrl: '/classic.js', wasmUrl: '/bitx/' });
      const input = { base: '/vectors/base-bf16.safetensors', delta: '/vectors/sft-bf16.v1.bitx' };
      const { size } = await bitx.restore(input);
      return { mode: bitx.mode, size };
    });
    assert.deepEqual(found, { mode, size: 1_192_912 });
  });
}

/** A worker that restores from URLs in the ways that programs use. */
const WORKER = `
import { Bitx, BitxError } from '/bitx/index.js';
import { loadFineTune, ModelCache } from '/bitx/cache.js';
import { restoringCache } from '/bitx/transformers.js';
const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
const digest = async (blob) => hex(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
const attempt = (action) => action().then(
  (value) => value,
  (error) => (error instanceof BitxError ? error.code : String(error)),
);
const base = '/vectors/base-bf16.safetensors';
const delta = '/vectors/sft-bf16.v2.bitx';
const at = (path) => new URL(path, ORIGIN).href;
const run = async () => {
  const bitx = await Bitx.create({ threads: 2, workerUrl: at('/bitx/worker.js') });
  const errors = [];
  const cache = restoringCache({
    bitx,
    find: () => ({ base: at(base), delta: new URL(delta, ORIGIN) }),
    onError: (error) => errors.push(String(error)),
  });
  const models = await ModelCache.open({ name: NAME, workerUrl: at('/bitx/cache-worker.js') });
  return {
    relative: await attempt(async () => digest(await bitx.restore({ base, delta }))),
    absolute: await attempt(async () => digest(await bitx.restore({ base: at(base), delta: at(delta) }))),
    transformers: await attempt(async () => digest(await (await cache.match('/m/model.onnx')).blob())),
    fineTune: await attempt(async () =>
      digest(await loadFineTune({ base: at(base), delta: at(delta), cache: models, bitx }))),
    errors,
  };
};
run().then((found) => postMessage(found), (error) => postMessage({ failed: String(error) }));
`;

async function inWorker(page, address, name) {
  return page.evaluate(
    async ([address, text, name]) => {
      const source = `const ORIGIN = '${location.origin}'; const NAME = '${name}';\n${text}`.replaceAll(
        "from '/",
        `from '${location.origin}/`,
      );
      const url = address ?? URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
      const worker = new Worker(url, { type: 'module' });
      return new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
      });
    },
    [address, WORKER, name],
  );
}

test('URLs are inputs in a dedicated worker, also for transformers.js', async (t) => {
  env.mounts['/in-worker.js'] = (request, response) =>
    script(`const ORIGIN = 'http://${request.headers.host}'; const NAME = 'workers';\n${WORKER}`)(
      request,
      response,
    );
  const page = await openPage(t, env);
  const { sft } = SHA256;
  const expected = { relative: sft, absolute: sft, transformers: sft, fineTune: sft, errors: [] };
  assert.deepEqual(await inWorker(page, '/in-worker.js', 'workers'), expected);
});

test('a worker that was started from a Blob resolves no relative addresses, and says so', async (t) => {
  const page = await openPage(t, env);
  const { sft } = SHA256;
  const expected = {
    relative: 'invalid-argument',
    absolute: sft,
    transformers: sft,
    fineTune: sft,
    errors: [],
  };
  assert.deepEqual(await inWorker(page, undefined, 'blobs'), expected);
});

test('a shared worker, which cannot start workers, gets errors with a code', async (t) => {
  env.mounts['/shared.js'] = script(`
    import { Bitx } from '/bitx/index.js';
    import { ModelCache } from '/bitx/cache.js';
    import { BitxHub } from '/bitx/hub.js';
    const failure = (action) => action().then(() => 'it works', ({ code, message }) => [code, message]);
    addEventListener('connect', async ({ ports: [port] }) => port.postMessage({
      workers: typeof Worker,
      bitx: await failure(() => Bitx.create()),
      cache: await failure(() => ModelCache.open()),
      hub: await failure(async () => new BitxHub({ url: '/hub/' })),
    }));`);
  const page = await openPage(t, env);
  const found = await page.evaluate(async () => {
    const { port } = new SharedWorker('/shared.js', { type: 'module' });
    return new Promise((resolve) => {
      port.onmessage = ({ data }) => resolve(data);
    });
  });
  const { workers, ...errors } = found;
  assert.equal(workers, 'undefined');
  for (const [name, [code, message]] of Object.entries(errors)) {
    assert.equal(code, 'unsupported', name);
    assert.match(message, /needs a worker/, name);
  }
});

test('a script that is not beside the package is named, with a remedy', async (t) => {
  // Vite's dev server moves the package's scripts without their workers, and answers with a page.
  const moved = (name) => script(readFileSync(join(packageDist, `${name}.js`)));
  for (const name of ['index', 'common', 'cache', 'hub']) env.mounts[`/moved/${name}.js`] = moved(name);
  const page = await openPage(t, env);
  const found = await page.evaluate(async () => {
    const failure = (promise) =>
      promise.then(
        () => 'it works',
        ({ code, message }) => [code, message],
      );
    const { Bitx } = await import('/moved/index.js');
    const { ModelCache } = await import('/moved/cache.js');
    const { BitxHub } = await import('/moved/hub.js');
    return {
      'moved/worker.js': await failure(Bitx.create({ threads: 1 })),
      'moved/cache-worker.js': await failure(ModelCache.open()),
      'moved/hub-worker.js': await failure(new BitxHub({ url: '/hub/' }).list()),
      'elsewhere/worker.js': await failure(Bitx.create({ threads: 1, workerUrl: '/elsewhere/worker.js' })),
    };
  });
  for (const [place, [code, message]] of Object.entries(found)) {
    assert.equal(code, 'start-failed', place);
    assert.ok(message.includes(`${env.isolated.address}${place}`), message);
    assert.match(message, /workerUrl.*optimizeDeps\.exclude/);
  }
});
