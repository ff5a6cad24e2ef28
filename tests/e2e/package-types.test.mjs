/** Programs of users, as TypeScript checks them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../scripts/lib/paths.mjs';

/** Checks a program strictly, and returns the errors that the compiler prints. */
function errorsOf(t, program, options = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'bitx-types-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const modules = join(folder, 'node_modules');
  mkdirSync(join(modules, '@types'), { recursive: true });
  symlinkSync(join(root, 'js'), join(modules, 'bitx-wasm'));
  symlinkSync(join(root, 'node_modules', '@types', 'node'), join(modules, '@types', 'node'));
  symlinkSync(join(root, 'node_modules', 'undici-types'), join(modules, 'undici-types'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'program.ts'), program);
  const compilerOptions = {
    ...{ strict: true, noEmit: true, skipLibCheck: true, target: 'es2022', preserveSymlinks: true },
    ...{ lib: ['es2023', 'dom', 'dom.iterable'], module: 'nodenext', types: ['node'] },
    ...options,
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
  try {
    execFileSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', folder], { encoding: 'utf8' });
    return '';
  } catch (error) {
    return error.stdout;
  }
}

const NODE_GUIDE = `
import { readFile } from 'node:fs/promises';
import { loadFineTune } from 'bitx-wasm/cache';
import { fileSource, ModelCache } from 'bitx-wasm/node';

const cache: ModelCache = await ModelCache.open({ directory: 'models' });
const base = await cache.fetch('https://models.example/base.safetensors');
const found = await cache.match('https://models.example/base.safetensors');
const model = await loadFineTune({ base: 'base.safetensors', delta: 'tuned.bitx', cache });
const paths: string[] = [base.path, model.path, ...(found ? [found.path] : [])];
const bytes: Buffer[] = await Promise.all(paths.map((path) => readFile(path)));
const unstored: File = await loadFineTune({ base: 'a', delta: 'b', cache, store: false });
void [bytes, unstored, fileSource];
`;

test('in Node, the files of the cache have a path', (t) => {
  assert.equal(errorsOf(t, NODE_GUIDE), '');
});

test('the entry points of the cache for Node agree', (t) => {
  const program = `
    import { loadFineTune, ModelCache, planFineTune, type CachedFile } from 'bitx-wasm/cache';
    import { ModelCache as Same } from 'bitx-wasm/node';
    const cache: ModelCache = await Same.open();
    const file: CachedFile = await loadFineTune({ base: 'a', delta: 'b', cache });
    const { fits }: { fits: boolean } = await planFineTune({ base: 'a', delta: 'b', cache });
    void [file.path.length, file.model.sha256, fits];
  `;
  assert.equal(errorsOf(t, program), '');
});

test('in browsers, the files of the cache have none', (t) => {
  const program = `
    import { ModelCache, type CachedFile } from 'bitx-wasm/cache';
    const file: CachedFile = await (await ModelCache.open()).fetch('/model');
    void [file.path, file.model];
  `;
  const errors = errorsOf(t, program, { module: 'esnext', moduleResolution: 'bundler', types: [] });
  assert.match(errors, /Property 'path' does not exist/);
  assert.equal(errors.match(/error TS/g).length, 1);
});

test('in Node, an output may be a path; in browsers, it may not', (t) => {
  const program = `
    import { Bitx, type Output } from 'bitx-wasm';
    const bitx = await Bitx.create();
    const output: Output = new URL('file:///tmp/model');
    const nothing: undefined = await bitx.restore({ base: 'a', delta: 'b', output: './model' });
    const blob: Blob = await bitx.compress({ base: 'a', target: 'b' });
    void [output, nothing, blob];
  `;
  assert.equal(errorsOf(t, program), '');
  const browser = { module: 'esnext', moduleResolution: 'bundler', types: [] };
  assert.match(errorsOf(t, program, browser), /not assignable to type 'Output/);
});

test('without the types of the DOM, the package’s types are sound', (t) => {
  const program = `
    import { Bitx } from 'bitx-wasm';
    import { loadFineTune } from 'bitx-wasm/cache';
    import * as cache from 'bitx-wasm/cache/service-worker';
    import { restoreFolder } from 'bitx-wasm/folder';
    import { BitxHub } from 'bitx-wasm/hub';
    import { fileSource } from 'bitx-wasm/node';
    import { RestoredFile } from 'bitx-wasm/service-worker';
    import { restoringCache } from 'bitx-wasm/transformers';
    void [Bitx, loadFineTune, cache, restoreFolder, BitxHub, fileSource, RestoredFile, restoringCache];
  `;
  assert.equal(errorsOf(t, program, { lib: ['es2023'], skipLibCheck: false }), '');
  assert.equal(errorsOf(t, program, { skipLibCheck: false }), '');
  const wrong = `import { Bitx } from 'bitx-wasm';
    await (await Bitx.create()).restore({ base: 5, delta: 'b' });`;
  assert.match(errorsOf(t, wrong, { lib: ['es2023'] }), /error TS/);
});

test('a Bitx, a cache and a hub can be declared with using', (t) => {
  const program = `
    import { Bitx } from 'bitx-wasm';
    import { ModelCache } from 'bitx-wasm/cache';
    import { BitxHub } from 'bitx-wasm/hub';
    using bitx = await Bitx.create();
    await using cache = await ModelCache.open();
    using hub = new BitxHub({ url: 'https://hub.example/' });
    void [bitx, cache, hub];
  `;
  const lib = ['es2023', 'dom', 'esnext.disposable'];
  assert.equal(errorsOf(t, program, { lib, skipLibCheck: false }), '');
});

test('an unknown mode and a misspelt option do not compile', (t) => {
  const program = `
    import { Bitx } from 'bitx-wasm';
    const bitx = await Bitx.create({ mode: 'turbo' });
    await bitx.restore({ base: 'a', deltas: 'b' });
  `;
  assert.equal(errorsOf(t, program).match(/error TS/g).length, 2);
});
