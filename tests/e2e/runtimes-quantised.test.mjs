/** Quantised models of ONNX, restored and run by onnxruntime-web and transformers.js. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Bitx } from '../../js/dist/node.js';
import { root } from '../../scripts/lib/paths.mjs';
import { fourBitModel, quantisedModel } from './onnx-model.mjs';
import { onnxRuntime, served } from './runtimes-support.mjs';
import { environment, openPage } from './support.mjs';

const env = environment();
const [ROWS, COLUMNS, SCALE] = [512, 64, 0.125];
const IDS = [3, 500, 0];
/** Returns whole weights, and the same weights after some training. */
function weightPair(most) {
  const base = Int8Array.from({ length: ROWS * COLUMNS }, (_, i) => Math.round(Math.sin(i * 12.9898) * most));
  return [base, base.map((weight, i) => weight + (i % 5 === 0 ? 1 : 0))];
}

/** 0.125 as an F16, for each block of 32 weights. */
const scales = new Uint16Array((ROWS * COLUMNS) / 32).fill(0x3000);
const EIGHT = weightPair(100);
const FOUR = weightPair(6);
/** The models by their kind: the base's and the fine-tune's file. */
const MODELS = {
  int8: EIGHT.map((weights) => quantisedModel({ rows: ROWS, columns: COLUMNS, weights, scale: SCALE })),
  q4f16: FOUR.map((weights) => fourBitModel({ rows: ROWS, columns: COLUMNS, weights, scales })),
};

/** Returns the rows of the fine-tune that the model gathers. */
const expected = ([, target]) =>
  IDS.flatMap((id) =>
    Array.from(target.subarray(id * COLUMNS, (id + 1) * COLUMNS), (weight) => weight * SCALE),
  );
const EXPECTED = { int8: expected(EIGHT), q4f16: expected(FOUR) };

before(async () => {
  const bitx = await Bitx.create({ threads: 1 });
  for (const [kind, [base, target]] of Object.entries(MODELS)) {
    const delta = await bitx.compress({ base, target });
    assert.ok(delta.size < 0.7 * target.length, `${kind}: ${delta.size} of ${target.length} bytes`);
    env.mounts[`/parts/${kind}/base`] = served(base);
    env.mounts[`/parts/${kind}/delta`] = served(Buffer.from(await delta.arrayBuffer()));
  }
  bitx.dispose();
  const config = { model_type: 'bert', architectures: ['BertModel'], hidden_size: COLUMNS };
  Object.assign(env.mounts, {
    '/hub/mine/config.json': served(Buffer.from(JSON.stringify(config))),
    '/ort/': onnxRuntime,
    '/transformers.js': join(root, 'node_modules/@huggingface/transformers/dist/transformers.min.js'),
  });
});

for (const kind of Object.keys(MODELS)) {
  test(`onnxruntime-web runs a restored model in ${kind}`, async (t) => {
    const page = await openPage(t, env, { isolated: false });
    const found = await page.evaluate(
      async ([ids, kind]) => {
        const [{ Bitx }, ort] = await Promise.all([
          import('/bitx/index.js'),
          import('/ort/ort.wasm.min.mjs'),
        ]);
        ort.env.wasm.wasmPaths = '/ort/';
        const bitx = await Bitx.create();
        const model = await bitx.restore({ base: `/parts/${kind}/base`, delta: `/parts/${kind}/delta` });
        bitx.dispose();
        const session = await ort.InferenceSession.create(new Uint8Array(await model.arrayBuffer()));
        const input_ids = new ort.Tensor('int64', BigInt64Array.from(ids.map(BigInt)), [1, ids.length]);
        return Array.from((await session.run({ input_ids })).last_hidden_state.data);
      },
      [IDS, kind],
    );
    assert.deepEqual(found, EXPECTED[kind]);
  });
}

for (const [dtype, file, kind] of [
  ['int8', 'model_int8.onnx', 'int8'],
  ['q8', 'model_quantized.onnx', 'int8'],
  ['q4f16', 'model_q4f16.onnx', 'q4f16'],
]) {
  test(`transformers.js runs a restored model in ${dtype}`, async (t) => {
    const page = await openPage(t, env, { isolated: false });
    const found = await page.evaluate(
      async ([ids, dtype, file, kind]) => {
        const [{ Bitx }, { restoringCache }, { AutoModel, env, Tensor }] = await Promise.all([
          import('/bitx/index.js'),
          import('/bitx/transformers.js'),
          import('/transformers.js'),
        ]);
        const bitx = await Bitx.create();
        Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: '/hub/' });
        Object.assign(env, { useBrowserCache: false, useWasmCache: false, useCustomCache: true });
        env.backends.onnx.wasm.wasmPaths = '/ort/';
        const parts = { base: `/parts/${kind}/base`, delta: `/parts/${kind}/delta` };
        const find = (request) => (request.endsWith(`/onnx/${file}`) ? parts : undefined);
        env.customCache = restoringCache({ bitx, find });
        const model = await AutoModel.from_pretrained('mine', { dtype, device: 'wasm' });
        const data = BigInt64Array.from(ids.map(BigInt));
        const input_ids = new Tensor('int64', data, [1, ids.length]);
        const ones = data.map(() => 1n);
        const output = await model({ input_ids, attention_mask: new Tensor('int64', ones, [1, ids.length]) });
        return Array.from(output.last_hidden_state.data);
      },
      [IDS, dtype, file, kind],
    );
    assert.deepEqual(found, EXPECTED[kind]);
  });
}
