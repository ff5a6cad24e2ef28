import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { publint } from 'publint';
import { cargoHome, packageDist, root, rustupHome } from '../../scripts/lib/paths.mjs';
import { WASM_BUILDS } from '../../scripts/lib/toolchain.mjs';

const folder = join(root, 'js');
const wasmFiles = Object.values(WASM_BUILDS).map(({ file }) => file);

test('the exports are these and no others', async () => {
  assert.deepEqual(Object.keys(await import('bitx-wasm')), ['Bitx', 'BitxError']);
});

test('browsers have the same exports', () => {
  assert.match(
    readFileSync(join(packageDist, 'index.js'), 'utf8'),
    /export\{\w+ as Bitx,\w+ as BitxError\};/,
  );
});

test('the cache has these exports and no others', async () => {
  const exports = Object.keys(await import('bitx-wasm/cache'));
  assert.deepEqual(exports, ['ModelCache', 'loadFineTune', 'planFineTune']);
});

test('the hub has these exports and no others', async () => {
  assert.deepEqual(Object.keys(await import('bitx-wasm/hub')), ['BitxHub']);
});

test('folders have these exports and no others', async () => {
  const exports = Object.keys(await import('bitx-wasm/folder'));
  assert.deepEqual(exports.sort(), ['compressFolder', 'inspectFolder', 'restoreFolder']);
});

test('an error has a code, figures and a cause', async () => {
  const { BitxError } = await import('bitx-wasm');
  const error = new BitxError('truncated', 'too short', { file: 'delta', expected: 2, cause: 'why' });
  assert.ok(error instanceof Error);
  assert.deepEqual({ ...error }, { name: 'BitxError', code: 'truncated', file: 'delta', expected: 2 });
  assert.equal(error.cause, 'why');
});

test('the package holds what it needs and nothing else', () => {
  const packed = execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd: folder, encoding: 'utf8' });
  const [{ files }] = JSON.parse(packed);
  const paths = files.map(({ path }) => path).filter((path) => !/^(dist\/types\/|LICENSE-)/.test(path));
  assert.deepEqual(paths.sort(), [
    'README.md',
    ...wasmFiles.map((file) => `dist/${file}`).sort(),
    'dist/cache-worker.js',
    'dist/cache.js',
    'dist/common.js',
    'dist/folder.js',
    'dist/hub-worker.js',
    'dist/hub.js',
    'dist/index.js',
    'dist/node-cache.js',
    'dist/node-common.js',
    'dist/node-files.js',
    'dist/node-folder.js',
    'dist/node-worker.js',
    'dist/node.js',
    'dist/service-worker-cache.js',
    'dist/service-worker.js',
    'dist/transformers.js',
    'dist/worker.js',
    'package.json',
  ]);
});

test('publint reports nothing', async () => {
  const { messages } = await publint({ pkgDir: folder, level: 'suggestion' });
  assert.deepEqual(messages, []);
});

test('bundlers find the worker and the wasm by their literal addresses', () => {
  const text = (file) => readFileSync(join(packageDist, file), 'utf8').replaceAll('"', "'");
  assert.match(
    text('index.js'),
    /new Worker\(new URL\('\.\/worker\.js',import\.meta\.url\),\{type:'module'\}\)/,
  );
  assert.match(
    text('cache.js'),
    /new Worker\(new URL\('\.\/cache-worker\.js',import\.meta\.url\),\{type:'module'\}\)/,
  );
  assert.match(
    text('hub.js'),
    /new Worker\(new URL\('\.\/hub-worker\.js',import\.meta\.url\),\{type:'module'\}\)/,
  );
  for (const file of wasmFiles) {
    assert.ok(text('worker.js').includes(`new URL('./${file}',import.meta.url)`));
  }
});

test('the wasm has no paths of the machine that built it', () => {
  for (const file of wasmFiles) {
    const text = readFileSync(join(packageDist, file), 'latin1');
    for (const path of [root, cargoHome, rustupHome]) assert.ok(!text.includes(path), path);
  }
});
