/** Merging LoRA adapters in Node: paths, and the shards of a model. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Bitx } from 'bitx-wasm';
import { adapters, EXACT, shards, vector } from './merge-support.mjs';

let bitx;
before(async () => {
  bitx = await Bitx.create({ threads: 2 });
});
after(() => bitx.dispose());

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'bitx-merge-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('paths are merged to a path', async (t) => {
  const place = folder(t);
  for (const name of EXACT) {
    const { merged, ...options } = vector(adapters, name);
    const output = join(place, name);
    assert.equal(await bitx.merge({ ...options, output }), undefined);
    assert.ok(readFileSync(output).equals(readFileSync(merged)), name);
  }
});

test('a merge that fails leaves no file', async (t) => {
  const place = folder(t);
  const { base, adapter } = vector(adapters, 'f32');
  const config = join(place, 'adapter_config.json');
  const output = join(place, 'merged');
  await assert.rejects(bitx.merge({ base, adapter, config, output }), (error) => {
    assert.equal(error.code, 'io');
    return /ENOENT.*adapter_config\.json/.test(error.message);
  });
  assert.deepEqual(readdirSync(place), []);
});

test('the shards of a model are merged one by one', async () => {
  const { base, adapter, config, merged } = vector(adapters, 'bf16');
  const whole = shards(base);
  const expected = shards(merged);
  const names = [];
  for (const file of [0, 1]) {
    const onStats = ({ tensors }) => names.push(...tensors);
    const model = await bitx.merge({ base: whole, adapter, config, file, onStats });
    assert.ok(Buffer.from(await model.arrayBuffer()).equals(expected[file]), `shard ${file}`);
  }
  assert.equal(names.length, 6);
  await assert.rejects(bitx.merge({ base: whole[1], adapter, config }), { code: 'base-mismatch' });
});
