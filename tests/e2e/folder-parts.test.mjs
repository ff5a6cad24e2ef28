/** Adapters and graphs in model folders. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Bitx } from 'bitx-wasm';
import { compressFolder, restoreFolder } from 'bitx-wasm/folder';
import { digests } from './folder-support.mjs';
import { EXACT, pathTo } from './merge-support.mjs';
import { gatherModel, weightPair } from './onnx-model.mjs';

let bitx;
before(async () => {
  bitx = await Bitx.create({ threads: 1 });
});
after(() => bitx.dispose());

/** Writes files by path to a new folder. */
function written(t, files) {
  const folder = mkdtempSync(join(tmpdir(), 'bitx-parts-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

const read = (...names) => readFileSync(pathTo(...names));

/** Compresses a folder, checks that it comes back, and returns the result and the archives. */
async function compressed(t, base, target) {
  const output = join(written(t, {}), 'archives');
  const result = await compressFolder(bitx, { base, target, output });
  const restored = join(written(t, {}), 'restored');
  await restoreFolder(bitx, { base, archives: output, output: restored });
  assert.deepEqual(digests(restored), digests(target));
  const tensors = async (path) => (await bitx.inspect(join(output, path))).tensors;
  return { ...result, tensors };
}

for (const name of EXACT) {
  test(`an adapter in the base folder predicts what was merged: ${name}`, async (t) => {
    const files = { 'model.safetensors': read(name, 'base.safetensors') };
    const adapter = {
      'lora/adapter_model.safetensors': read(name, 'adapter_model.safetensors'),
      'lora/adapter_config.json': read(name, 'adapter_config.json'),
    };
    const target = written(t, { 'model.safetensors': read(name, 'merged.safetensors') });
    const alone = await compressed(t, written(t, files), target);
    const { manifest, storedBytes } = await compressed(t, written(t, { ...files, ...adapter }), target);
    assert.ok(storedBytes < alone.storedBytes, `${storedBytes} of ${alone.storedBytes} bytes`);
    const base = manifest.base.map(({ path }) => path).sort();
    assert.deepEqual(base, ['lora/adapter_model.safetensors', 'model.safetensors']);
  });
}

test('several adapters serve, and one that cannot be merged is a file like others', async (t) => {
  const target = written(t, {
    'a.safetensors': read('bf16', 'merged.safetensors'),
    'lora/adapter_model.safetensors': read('bf16', 'adapter_model.safetensors'),
  });
  const adapter = (folder, config) => ({
    [`${folder}/adapter_model.safetensors`]: read('bf16', 'adapter_model.safetensors'),
    [`${folder}/adapter_config.json`]: config,
  });
  const config = read('bf16', 'adapter_config.json');
  const base = written(t, {
    'a.safetensors': read('bf16', 'base.safetensors'),
    ...adapter('broken', '{"peft_type":"LOHA"}'),
    ...adapter('lora', config),
    ...adapter('other', config),
  });
  const { manifest } = await compressed(t, base, target);
  const [first] = manifest.files;
  const used = first.base.map((number) => manifest.base[number].path);
  assert.ok(
    used.includes('a.safetensors') &&
      used.some((path) => path.startsWith('lora/') || path.startsWith('other/')),
  );
});

test('external data is compressed by the tensors of the graph beside it', async (t) => {
  const [rows, columns] = [64, 32];
  const { base, target } = weightPair(rows, columns);
  const folder = (weights, location) =>
    written(t, {
      'onnx/model.onnx': gatherModel({ rows, columns, location, offset: 0 }),
      [`onnx/${location}`]: Buffer.from(weights.buffer),
    });
  for (const location of ['model.onnx_data', 'model.onnx.data']) {
    const { tensors, manifest } = await compressed(t, folder(base, location), folder(target, location));
    const [{ archive }] = manifest.files.filter(({ file }) => file.path === `onnx/${location}`);
    const [tensor] = await tensors(archive.path);
    assert.deepEqual([tensor.name, tensor.dtype, tensor.shape], ['rows', 'F32', [rows, columns]]);
    assert.equal(manifest.files.length, 2);
  }
});

test('a graph of other files, or on one side only, is left alone', async (t) => {
  const [rows, columns] = [64, 32];
  const { base, target } = weightPair(rows, columns);
  const graph = gatherModel({ rows, columns, location: 'model.onnx_data', offset: 0 });
  const other = gatherModel({ rows, columns, location: 'others.onnx_data', offset: 0 });
  const data = (weights, more) => written(t, { 'model.onnx_data': Buffer.from(weights.buffer), ...more });
  const named = async (baseFolder, targetFolder) => {
    const { tensors, manifest } = await compressed(t, baseFolder, targetFolder);
    const entry = manifest.files.find(({ file }) => file.path === 'model.onnx_data');
    return (await tensors(entry.archive.path)).map(({ name }) => name);
  };
  // Nothing but the floats themselves tells what is in the data.
  const guessed = ['floats.0'];
  const [first, second] = [base, target].map((weights) => data(weights, { 'model.onnx': other }));
  assert.deepEqual(await named(first, second), guessed);
  assert.deepEqual(await named(data(base, { 'model.onnx': 'no graph' }), data(target)), guessed);
  // One graph describes both.
  assert.deepEqual(await named(data(base), data(target, { 'model.onnx': graph })), ['rows']);
  assert.deepEqual(await named(data(base, { 'model.onnx': graph }), data(target)), ['rows']);
});

test('the shards of MLC are compressed by their tensors', async (t) => {
  const words = (seed) => Uint32Array.from({ length: 1024 }, (_, i) => Math.imul(i + seed, 2654435761));
  const shard = (number) => ({
    dataPath: `params_shard_${number}.bin`,
    format: 'raw-shard',
    nbytes: 4096,
    records: [
      { name: `w${number}`, shape: [32, 32], dtype: 'uint32', format: 'raw', nbytes: 4096, byteOffset: 0 },
    ],
  });
  const folder = (seed) =>
    written(t, {
      'ndarray-cache.json': JSON.stringify({ metadata: {}, records: [shard(0), shard(1)] }),
      'params_shard_0.bin': Buffer.from(words(seed).buffer),
      'params_shard_1.bin': Buffer.from(words(seed + 9).buffer),
    });
  const { tensors, manifest } = await compressed(t, folder(1), folder(2));
  for (const number of [0, 1]) {
    const entry = manifest.files.find(({ file }) => file.path === `params_shard_${number}.bin`);
    const found = await tensors(entry.archive.path);
    assert.deepEqual(
      found.map(({ name }) => name),
      [`w${number}`],
    );
  }
});

test('inputs without names of their own have those of their folder', async () => {
  const [rows, columns] = [64, 32];
  const { base, target } = weightPair(rows, columns);
  const folder = (weights) => ({
    'model.onnx': new Blob([gatherModel({ rows, columns, location: 'model.onnx_data', offset: 0 })]),
    'model.onnx_data': weights,
  });
  const source = {
    size: target.byteLength,
    read: async (offset, length) => new Uint8Array(target.buffer, offset, length).slice(),
  };
  const { files } = await compressFolder(bitx, { base: folder(base), target: folder(source) });
  const { tensors } = await bitx.inspect(files.get('model.onnx_data.bitx'));
  assert.deepEqual(
    tensors.map(({ name }) => name),
    ['rows'],
  );
});

test('a vector of the command line has the same archives', async (t) => {
  const base = written(t, {});
  cpSync(pathTo('bf16'), join(base, 'lora'), { recursive: true });
  rmSync(join(base, 'lora', 'merged.safetensors'));
  const target = written(t, { 'merged.safetensors': read('bf16', 'merged.safetensors') });
  const { manifest } = await compressed(t, base, target);
  assert.deepEqual(
    manifest.base.map(({ path }) => path),
    ['lora/base.safetensors', 'lora/adapter_model.safetensors'],
  );
});
