/** The model cache in Node, where a folder is its storage. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Bitx, BitxError } from '../../js/dist/node.js';
import { loadFineTune, planFineTune } from '../../js/dist/node-cache.js';
import { ModelCache } from '../../js/dist/node-files.js';
import { serve } from '../../scripts/lib/server.mjs';
import { generator, Origin, randomBytes, silentFrom } from './cache-origin.mjs';
import { CHUNK, QUICK } from './cache-support.mjs';
import { SHA256, sha256, vectors } from './support.mjs';

const MODEL = randomBytes(12 * CHUNK + 1000, 9);
const DIGEST = sha256(MODEL);
const PROGRAM = fileURLToPath(new URL('./cache-node-download.mjs', import.meta.url));
const { workerUrl, ...OPTIONS } = QUICK;
const env = { origin: new Origin() };

before(async () => {
  const mounts = { '/m/': env.origin.handler, '/vectors/': vectors };
  Object.assign(env, await serve({ mounts, isolated: false }));
});
after(() => {
  env.server.closeAllConnections();
  env.server.close();
});

/** Makes a folder for a test, and caches that are closed at its end. */
function folder(t) {
  const directory = mkdtempSync(join(tmpdir(), 'bitx-node-cache-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  t.after(() => env.origin.reset());
  const open = async (options) => {
    const cache = await ModelCache.open({ ...OPTIONS, directory, ...options });
    t.after(() => cache.close());
    return cache;
  };
  const url = (path) => new URL(path, env.address).href;
  return { directory, open, model: url(env.origin.put(`model-${t.name.length}`, MODEL)) };
}

/** Starts a program that downloads; resolves to its output, or undefined if it was killed. */
function program(directory, url) {
  const child = spawn(process.execPath, [PROGRAM, directory, url], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (text) => {
    printed += text;
  });
  const end = once(child, 'close').then(([code]) => (code === null ? undefined : printed.trim()));
  return { kill: () => child.kill('SIGKILL'), end };
}

const digest = async (file) => sha256(Buffer.from(await file.arrayBuffer()));

async function until(condition) {
  const signal = AbortSignal.timeout(20_000);
  while (!(await condition())) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test('a model is fetched once, and is found later', async (t) => {
  const { open, model } = folder(t);
  const first = await open();
  const file = await first.fetch(model);
  assert.equal(await digest(file), DIGEST);
  assert.equal(file.model.sha256, DIGEST);
  assert.equal(sha256(readFileSync(file.path)), DIGEST);
  first.close();
  const second = await open();
  assert.equal(await digest(await second.fetch(model)), DIGEST);
  assert.equal(await digest(await second.findByDigest(`sha256-${DIGEST}`)), DIGEST);
  assert.equal(env.origin.sent, MODEL.length);
  assert.deepEqual([await second.delete(model), await second.has(model)], [true, false]);
});

test('a file is read like a File', async (t) => {
  const { open, model } = folder(t);
  const file = await (await open()).fetch(model);
  const part = file.slice(1000, -1000).slice(500, 700);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), MODEL.subarray(1500, 1700));
  assert.equal(sha256(Buffer.from(await new Response(file.stream()).arrayBuffer())), DIGEST);
  assert.equal((await file.read(MODEL.length - 10, 100)).length, 10);
  assert.deepEqual([file.size, file.slice(-5).size, file.slice(9, 3).size], [MODEL.length, 5, 0]);
});

test('a program killed at 10 random moments loses nothing that was stored', async (t) => {
  const { directory, open, model } = folder(t);
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  for (let round = 0; round < 10; round++) {
    env.origin.reset();
    env.origin.fault = () => ({ piece: CHUNK / 4, delay: 5 });
    const { kill, end } = program(directory, model);
    const bytes = random() * MODEL.length;
    await until(() => env.origin.sent >= bytes);
    kill();
    await end;
    env.origin.reset();
    const cache = await open();
    const stored = (await cache.stat(model))?.storedBytes ?? 0;
    assert.equal(await digest(await cache.fetch(model)), DIGEST, `round ${round}`);
    assert.ok((await cache.verify(model)).ok);
    assert.equal(env.origin.sent, MODEL.length - stored, `round ${round}`);
    await cache.delete(model);
    cache.close();
  }
});

test('a cache that is closed during a download does not block the next one', async (t) => {
  const { open, model } = folder(t);
  env.origin.fault = silentFrom(4 * CHUNK, 100);
  const first = await open({ stallTimeout: 60_000 });
  const failed = assert.rejects(first.fetch(model), { code: 'disposed' });
  await until(async () => ((await first.stat(model))?.storedBytes ?? 0) >= 4 * CHUNK);
  first.close();
  await failed;
  env.origin.reset();
  assert.equal(await digest(await (await open()).fetch(model)), DIGEST);
  assert.equal(env.origin.sent, MODEL.length - 4 * CHUNK);
});

test('programs that request the same model download it once', async (t) => {
  const { directory, open, model } = folder(t);
  env.origin.fault = () => ({ piece: CHUNK / 4, delay: 3 });
  const [here, ...others] = await Promise.all([
    (await open()).fetch(model),
    ...[1, 2].map(() => program(directory, model).end),
  ]);
  assert.equal(await digest(here), DIGEST);
  assert.deepEqual(others, [DIGEST, DIGEST]);
  assert.equal(env.origin.sent, MODEL.length);
  assert.deepEqual(readdirSync(join(directory, 'locks')), []);
});

test('wrong bytes on the disk are found, and only those chunks are fetched again', async (t) => {
  const { open, model } = folder(t);
  const cache = await open();
  const { path } = await cache.fetch(model);
  const bytes = readFileSync(path);
  bytes[5 * CHUNK + 7] ^= 1;
  writeFileSync(path, bytes);
  env.origin.reset();
  const { ok, badChunks } = await cache.verify(model);
  assert.deepEqual([ok, badChunks], [false, [{ offset: 5 * CHUNK, length: CHUNK }]]);
  assert.equal(await digest(await cache.fetch(model)), DIGEST);
  assert.equal(env.origin.sent, CHUNK);
});

test('failures have their codes', async (t) => {
  const { open, model } = folder(t);
  const cache = await open();
  await assert.rejects(cache.fetch(model, { integrity: '0'.repeat(64) }), (error) => {
    assert.ok(error instanceof BitxError);
    return error.code === 'integrity' && error.found === DIGEST;
  });
  await assert.rejects(cache.fetch(`${model}?missing`.replace('model', 'nothing')), { status: 404 });
  await assert.rejects(open({ directory: PROGRAM }), { code: 'unsupported' });
  await assert.rejects(open({ backend: 'memory' }), { code: 'unsupported' });
  const aborted = cache.fetch(model, { signal: AbortSignal.abort() });
  await assert.rejects(aborted, { code: 'aborted' });
});

test('a fine-tune is restored into the folder, and is an input itself', async (t) => {
  const { open } = folder(t);
  const cache = await open();
  const options = {
    base: `${env.address}vectors/base-bf16.safetensors`,
    delta: `${env.address}vectors/sft-bf16.v2.bitx`,
    cache,
  };
  assert.ok((await planFineTune(options)).fetchBytes > 0);
  const tuned = await loadFineTune(options);
  assert.equal(await digest(tuned), SHA256.sft);
  const { fetchBytes, model } = await planFineTune(options);
  assert.deepEqual([fetchBytes, model.cached], [0, true]);
  const bitx = await Bitx.create({ threads: 1 });
  t.after(() => bitx.dispose());
  const delta = await bitx.compress({ base: await cache.match(options.base), target: tuned });
  const again = await bitx.restore({ base: await cache.match(options.base), delta });
  assert.equal(await digest(again), SHA256.sft);
});
