import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { createServer } from 'vite';
import { packageDist, root } from '../../scripts/lib/paths.mjs';
import { serve } from '../../scripts/lib/server.mjs';
import { WASM_BUILDS } from '../../scripts/lib/toolchain.mjs';
import { command, examples, filesIn, host, models, visit } from './examples-support.mjs';
import { SHA256 } from './support.mjs';

const env = examples();
const ALL_WASM = Object.values(WASM_BUILDS).map(({ file }) => file.replace('.wasm', ''));
const SCRIPTS = ['common.js', 'main.js', 'worker.js'];
const RESTORE_WASM = ['bitx-restore', 'bitx-restore-threads'];

/**
 * Returns the wasm files among others, sorted and without the digests that bundlers put into names.
 */
function wasmOf(files) {
  const wasm = files.filter((file) => file.endsWith('.wasm'));
  return wasm.map((file) => /bitx-(?:restore|compress)(?:-threads)?(?=[-.])/.exec(file)?.[0] ?? file).sort();
}

/** Serves the package as CDNs do, to every origin; resolves to its address. */
async function foreignPackage(t) {
  const mounts = {
    '/': async (request, response) => {
      const name = basename(request.url);
      const type = name.endsWith('.js') ? 'text/javascript' : 'application/wasm';
      const headers = { 'content-type': type, 'access-control-allow-origin': '*' };
      response.writeHead(200, headers).end(await readFile(join(packageDist, name)));
    },
  };
  const { server, address } = await serve({ mounts, isolated: false });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return address;
}

async function restores(t, folder, isolated, mounts) {
  const text = await visit(t, env, await host(t, folder, { isolated, mounts }));
  assert.equal(text, `1192912 bytes, sha256 ${SHA256.sft}, ${isolated ? 'threads' : 'pool'}`);
}

for (const isolated of [true, false]) {
  const where = isolated ? 'an isolated page' : 'a page without isolation';

  test(`vite: the build restores on ${where}`, async (t) => {
    const folder = await env.install('vite');
    await command(folder, 'npm', 'run', 'build');
    const files = filesIn(join(folder, 'dist'));
    assert.deepEqual(wasmOf(files), ALL_WASM.toSorted());
    assert.equal(files.filter((file) => file.endsWith('.js')).length, 2, 'the page and one worker');
    await restores(t, join(folder, 'dist'), isolated);
  });

  test(`webpack: the build restores on ${where}`, async (t) => {
    const folder = await env.install('webpack');
    await command(folder, 'npm', 'run', 'build');
    const files = filesIn(join(folder, 'dist'));
    // webpack names assets by their digests alone.
    assert.equal(files.filter((file) => file.endsWith('.wasm')).length, ALL_WASM.length);
    assert.equal(files.filter((file) => file.endsWith('.js')).length, 2, 'the page and one worker');
    await restores(t, folder, isolated);
  });

  test(`esbuild: the build restores on ${where}`, async (t) => {
    const folder = await env.install('esbuild');
    await command(folder, 'npm', 'run', 'build');
    const files = filesIn(join(folder, 'dist'));
    assert.deepEqual(files, [...RESTORE_WASM.toReversed().map((name) => `${name}.wasm`), ...SCRIPTS]);
    assert.deepEqual(wasmOf(files), RESTORE_WASM);
    await restores(t, folder, isolated);
  });

  test(`a CDN: one script restores on ${where}, with workers from another origin`, async (t) => {
    const page = (cdn) => async (_, response) => {
      const text = await readFile(join(root, 'examples', 'cdn', 'index.html'), 'utf8');
      const type = { 'content-type': 'text/html' };
      response.writeHead(200, type).end(text.replace('https://cdn.example/bitx-wasm/dist/', cdn));
    };
    const cdn = await foreignPackage(t);
    await restores(t, packageDist, isolated, { '/': page(cdn) });
  });

  test(`no bundler: the package as it is restores on ${where}`, async (t) => {
    await restores(t, await env.install('bare'), isolated);
  });
}

test('vite: the development server restores as well', async (t) => {
  const folder = await env.install('vite');
  const address = await host(t, folder, { isolated: false });
  const proxy = Object.fromEntries(Object.keys(models).map((path) => [path, address]));
  const server = await createServer({
    root: folder,
    server: { port: 0, host: '127.0.0.1', proxy },
    logLevel: 'error',
  });
  t.after(() => server.close());
  await server.listen();
  const text = await visit(t, env, server.resolvedUrls.local[0]);
  assert.ok(text.includes(SHA256.sft), text);
});
