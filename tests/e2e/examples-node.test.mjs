import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { serve } from '../../scripts/lib/server.mjs';
import { command, examples, models } from './examples-support.mjs';
import { SHA256, sha256, vectors } from './support.mjs';

const env = examples({ browser: false });
const [base, delta] = Object.values(models);
/** The features that V8 before 12 lacks. */
const threads = Number.parseInt(process.versions.v8, 10) >= 12;
let folder;
before(async () => {
  folder = await env.install('node');
});

/** The installed package, as the example imports it. */
const installed = (name) =>
  import(pathToFileURL(join(folder, 'node_modules/bitx-wasm/dist', `${name}.js`)).href);

async function create(t, options) {
  const { Bitx } = await installed('node');
  const bitx = await Bitx.create(options);
  t.after(() => bitx.dispose());
  return bitx;
}

const digest = async (blob) => sha256(new Uint8Array(await blob.arrayBuffer()));

test('the example restores a file and exits', async () => {
  const output = join(folder, 'model.safetensors');
  const printed = await command(folder, process.execPath, 'restore.mjs', base, delta, output);
  assert.match(printed, /^1192912 bytes, threads: \d+\n$/);
  assert.equal(sha256(readFileSync(output)), SHA256.sft);
});

test('the example leaves nothing behind if the base is wrong', async () => {
  const other = join(vectors, 'base-f16.safetensors');
  const failed = command(folder, process.execPath, 'restore.mjs', other, delta, join(folder, 'bad'));
  await assert.rejects(failed, /base-mismatch/);
  assert.deepEqual(
    readdirSync(folder).filter((file) => file.startsWith('bad')),
    [],
  );
});

test('threads are used if they work', async (t) => {
  const bitx = await create(t, { threads: 2 });
  assert.equal(bitx.mode, threads ? 'threads' : 'pool');
});

test('paths, file URLs and web addresses are inputs', async (t) => {
  const { server, address } = await serve({ mounts: models });
  t.after(() => server.close());
  const bitx = await create(t);
  const web = await bitx.restore({
    base: `${address}models/base.safetensors`,
    delta: `${address}models/fine-tune.bitx`,
  });
  assert.equal(await digest(web), SHA256.sft);
  const files = await bitx.restore({ base, delta: pathToFileURL(delta) });
  assert.equal(await digest(files), SHA256.sft);
  server.closeAllConnections();
});

test('a missing file is an error with a code', async (t) => {
  const bitx = await create(t);
  const missing = bitx.restore({ base: join(folder, 'nothing'), delta });
  await assert.rejects(missing, { code: 'io', message: /ENOENT/ });
});

test('a file that is cut while it is open is an error with a code', async (t) => {
  const { fileSource } = await installed('node-files');
  const path = join(folder, 'shrinking');
  copyFileSync(base, path);
  const file = await open(path);
  t.after(() => file.close());
  const source = await fileSource(file);
  truncateSync(path, 1000);
  const bitx = await create(t);
  await assert.rejects(bitx.restore({ base: source, delta }), { code: 'truncated', file: 'base' });
});

test('it compresses, and returns streams', async (t) => {
  const bitx = await create(t);
  const archive = await bitx.compress({ base, target: base });
  const { stream, length } = await bitx.restoreStream({ base, delta: archive });
  assert.equal(length, 1192912);
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  assert.equal(sha256(bytes), sha256(readFileSync(base)));
});

test('nothing is added to the globals', async () => {
  const script = `const before = Object.getOwnPropertyNames(globalThis).length;
    const { Bitx } = await import('bitx-wasm');
    (await Bitx.create()).dispose();
    console.log(Object.getOwnPropertyNames(globalThis).length - before);`;
  assert.equal(await command(folder, process.execPath, '--input-type=module', '-e', script), '0\n');
});

test('the example as CommonJS restores a file and exits', async () => {
  const output = join(folder, 'required.safetensors');
  await command(folder, process.execPath, 'restore.cjs', base, delta, output);
  assert.equal(sha256(readFileSync(output)), SHA256.sft);
});
