/** The package in Node: files that are not there, and parts that only browsers have. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Bitx, BitxError } from 'bitx-wasm';
import { ModelCache } from 'bitx-wasm/cache';
import { BitxHub } from 'bitx-wasm/hub';
import { root } from '../../scripts/lib/paths.mjs';
import { vectors } from './support.mjs';

const BASE = join(vectors, 'base-bf16.safetensors');
const DELTA = join(vectors, 'sft-bf16.v2.bitx');

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'bitx-node-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('a file that cannot be read is an error of the file system that names it', async (t) => {
  const bitx = await Bitx.create({ threads: 1 });
  t.after(() => bitx.dispose());
  const missing = join(folder(t), 'missing.safetensors');
  for (const [wrong, reason] of [
    [missing, 'ENOENT'],
    [pathToFileURL(missing), 'ENOENT'],
    [folder(t), 'EISDIR'],
  ]) {
    const calls = [
      () => bitx.restore({ base: wrong, delta: DELTA }),
      () => bitx.restore({ base: BASE, delta: wrong }),
      () => bitx.inspect(wrong),
      () => bitx.compress({ base: BASE, target: wrong }),
    ];
    for (const call of calls) {
      await assert.rejects(call(), (error) => {
        assert.ok(error instanceof BitxError);
        assert.equal(error.code, 'io', error.message);
        assert.match(error.message, new RegExp(reason));
        assert.equal(error.status, undefined);
        return true;
      });
    }
  }
  assert.equal((await bitx.restore({ base: BASE, delta: DELTA })).size, 1_192_912);
});

test('a missing file is an error of the file system in the cache as well', async (t) => {
  const directory = folder(t);
  const cache = await ModelCache.open({ directory });
  t.after(() => cache.close());
  const url = pathToFileURL(join(directory, 'missing'));
  await assert.rejects(cache.fetch(url), { code: 'io', message: /ENOENT/ });
});

test('the wasm that is not there is named', async () => {
  const wasmUrl = pathToFileURL('/nowhere/');
  await assert.rejects(Bitx.create({ wasmUrl, threads: 1 }), { code: 'start-failed', message: /ENOENT/ });
});

test('the entry points for service workers can be imported, as a bundler does for the server', async () => {
  assert.deepEqual(Object.keys(await import('bitx-wasm/cache/service-worker')), ['ModelCache']);
  assert.deepEqual(Object.keys(await import('bitx-wasm/service-worker')), ['RestoredFile']);
});

test('the hub needs a browser, and says so', () => {
  assert.throws(() => new BitxHub({ url: 'https://hub.example/' }), {
    code: 'unsupported',
    message: /BitxHub needs a worker/,
  });
});

test('the entry points can be required as well', () => {
  const names = [
    'bitx-wasm',
    'bitx-wasm/cache',
    'bitx-wasm/folder',
    'bitx-wasm/hub',
    'bitx-wasm/node',
    'bitx-wasm/transformers',
  ];
  const script = `const lengths = ${JSON.stringify(names)}.map((name) => Object.keys(require(name)).length);
    const { Bitx } = require('bitx-wasm');
    Bitx.create({ threads: 1 }).then((bitx) => {
      bitx.dispose();
      console.log(lengths.join());
    });`;
  const options = { encoding: 'utf8', cwd: root };
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=commonjs', '-e', script], options);
  assert.equal(stdout, '2,3,3,1,3,1\n', stderr);
});

test('an object that is disposed of ends the program’s threads', async (t) => {
  const script = `const { Bitx } = await import('bitx-wasm');
    const { ModelCache } = await import('bitx-wasm/cache');
    const key = Symbol.dispose ?? Symbol.for('Symbol.dispose');
    const directory = ${JSON.stringify(folder(t))};
    const [bitx, cache] = [await Bitx.create({ threads: 1 }), await ModelCache.open({ directory })];
    bitx[key]();
    cache[key]();
    await bitx.inspect(new Blob(['x'])).catch(({ code }) => console.log(code));
    await cache.list().catch(({ code }) => console.log(code));`;
  const options = { encoding: 'utf8', cwd: root, timeout: 30_000 };
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], options);
  assert.equal(stdout, 'disposed\ndisposed\n', stderr);
});
