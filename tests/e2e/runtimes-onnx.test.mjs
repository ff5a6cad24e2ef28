import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Bitx } from '../../js/dist/node.js';
import { root } from '../../scripts/lib/paths.mjs';
import { gatherModel, safetensors, weightPair } from './onnx-model.mjs';
import { onnxRuntime, served } from './runtimes-support.mjs';
import { environment, openPage } from './support.mjs';

const env = environment();
const ROWS = 512;
const COLUMNS = 64;
const { base, target } = weightPair(ROWS, COLUMNS);
const IDS = [3, 500, 0];
/** The rows that differ between the fine-tune and the base. */
const EXPECTED = IDS.flatMap((id) => Array.from(target.subarray(id * COLUMNS, (id + 1) * COLUMNS)));

/** Puts a base and a delta on the server. */
async function serveParts(baseFile, targetFile, graph) {
  const bitx = await Bitx.create({ threads: 1 });
  const delta = await bitx.compress({ base: baseFile, target: targetFile, ...(graph && { graph }) });
  bitx.dispose();
  const archive = Buffer.from(await delta.arrayBuffer());
  Object.assign(env.mounts, {
    '/parts/base': served(baseFile),
    '/parts/other': served(Buffer.from(targetFile).fill(1, 200)),
    '/parts/delta': served(archive),
    '/ort/': onnxRuntime,
    '/transformers.js': join(root, 'node_modules/@huggingface/transformers/dist/transformers.min.js'),
  });
}

test('onnxruntime-web accepts a restored Blob as external data, in a safetensors file', async (t) => {
  const from = safetensors(base, ROWS, COLUMNS);
  const to = safetensors(target, ROWS, COLUMNS);
  await serveParts(from.file, to.file);
  const shape = { rows: ROWS, columns: COLUMNS, location: 'model.safetensors', offset: to.offset };
  env.mounts['/tiny.onnx'] = served(gatherModel(shape));
  const page = await openPage(t, env, { isolated: false });
  const found = await page.evaluate(async (ids) => {
    const [{ Bitx }, ort] = await Promise.all([import('/bitx/index.js'), import('/ort/ort.wasm.min.mjs')]);
    ort.env.wasm.wasmPaths = '/ort/';
    const bitx = await Bitx.create();
    const data = await bitx.restore({ base: '/parts/base', delta: '/parts/delta' });
    bitx.dispose();
    const session = await ort.InferenceSession.create('/tiny.onnx', {
      externalData: [{ path: 'model.safetensors', data }],
    });
    const input_ids = new ort.Tensor('int64', BigInt64Array.from(ids.map(BigInt)), [1, ids.length]);
    const { last_hidden_state } = await session.run({ input_ids });
    return [data instanceof Blob, Array.from(last_hidden_state.data)];
  }, IDS);
  assert.deepEqual(found, [true, EXPECTED]);
});

test('with its graph, external data is compressed by tensors', async (t) => {
  const bitx = await Bitx.create({ threads: 1 });
  t.after(() => bitx.dispose());
  const inputs = { base: Buffer.from(base.buffer), target: Buffer.from(target.buffer) };
  const graphAt = (offset) => gatherModel({ rows: ROWS, columns: COLUMNS, location: 'w', offset });
  const bytes = await bitx.compress(inputs);
  const delta = await bitx.compress({ ...inputs, graph: new Blob([graphAt(0)]) });
  const [{ name, dtype, shape }] = (await bitx.inspect(delta)).tensors;
  assert.deepEqual([name, dtype, shape], ['rows', 'F32', [ROWS, COLUMNS]]);
  // Without the graph, the floats are found, but not their rows.
  assert.deepEqual((await bitx.inspect(bytes)).tensors[0].shape, [ROWS * COLUMNS]);
  assert.ok(delta.size < bytes.size, `${delta.size} and ${bytes.size}`);
  const restored = await bitx.restore({ base: inputs.base, delta });
  assert.ok(Buffer.from(await restored.arrayBuffer()).equals(inputs.target));
  // The target's tensor is at another offset than the base's: each has its own graph.
  const moved = { ...inputs, target: Buffer.concat([Buffer.alloc(4096), inputs.target]) };
  const other = await bitx.compress({ ...moved, graph: [graphAt(0), graphAt(4096)] });
  assert.ok(Math.abs(other.size - delta.size) < 200, `${other.size} and ${delta.size}`);
  assert.ok(
    Buffer.from(await (await bitx.restore({ base: inputs.base, delta: other })).arrayBuffer()).equals(
      moved.target,
    ),
  );
  const wrong = { name: 'BitxError', code: 'corrupt', file: 'graph', tensor: 'rows' };
  await assert.rejects(bitx.compress({ ...inputs, graph: graphAt(4) }), wrong);
  await assert.rejects(bitx.compress({ ...inputs, graph: inputs.base }), { code: 'format', file: 'graph' });
});

/** Opens a page with transformers.js, whose server has all files of a model but its weights. */
async function hub(t) {
  const shape = { rows: ROWS, columns: COLUMNS, location: 'model.onnx_data', offset: 0 };
  await serveParts(Buffer.from(base.buffer), Buffer.from(target.buffer), gatherModel(shape));
  const config = { model_type: 'bert', architectures: ['BertModel'], hidden_size: COLUMNS };
  env.log = [];
  env.mounts['/hub/mine/config.json'] = served(Buffer.from(JSON.stringify(config)));
  env.mounts['/hub/mine/onnx/model.onnx'] = served(gatherModel(shape));
  env.mounts['/hub/mine/onnx/model.onnx_data'] = (_, response) => {
    env.log.push('weights');
    response.writeHead(404).end();
  };
  const page = await openPage(t, env, { isolated: false });
  await page.evaluate(async () => {
    const [{ Bitx }, { restoringCache }, { AutoModel, env, Tensor }] = await Promise.all([
      import('/bitx/index.js'),
      import('/bitx/transformers.js'),
      import('/transformers.js'),
    ]);
    const bitx = await Bitx.create();
    const asked = [];
    const kept = new Map();
    const failures = [];
    env.allowRemoteModels = false;
    env.allowLocalModels = true;
    env.localModelPath = '/hub/';
    env.useBrowserCache = false;
    env.useWasmCache = false;
    env.backends.onnx.wasm.wasmPaths = '/ort/';
    env.useCustomCache = true;
    globalThis.useParts = (base) => {
      env.customCache = restoringCache({
        bitx,
        find: (request) => {
          asked.push(request);
          return request.endsWith('/onnx/model.onnx_data') ? { base, delta: '/parts/delta' } : undefined;
        },
        onError: (error, request) => failures.push([error.name, error.code, request]),
        others: {
          match: async (request) => kept.get(request)?.clone(),
          put: async (request, response) => void kept.set(request, response),
        },
      });
    };
    const options = { dtype: 'fp32', device: 'wasm', use_external_data_format: true };
    globalThis.load = () => AutoModel.from_pretrained('mine', options);
    globalThis.run = async (model, ids) => {
      const data = BigInt64Array.from(ids.map(BigInt));
      const dims = [1, ids.length];
      const attention_mask = new Tensor(
        'int64',
        data.map(() => 1n),
        dims,
      );
      const output = await model({ input_ids: new Tensor('int64', data, dims), attention_mask });
      return Array.from(output.last_hidden_state.data);
    };
    Object.assign(globalThis, { env, asked, kept, failures });
  });
  return page;
}

test('transformers.js loads a fine-tune through the custom cache', async (t) => {
  const page = await hub(t);
  const { found, asked, kept } = await page.evaluate(async (ids) => {
    useParts('/parts/base');
    const found = await run(await load(), ids);
    return { found, asked, kept: [...kept.keys()] };
  }, IDS);
  assert.deepEqual(found, EXPECTED);
  assert.ok(
    asked.some((request) => request.endsWith('/hub/mine/onnx/model.onnx_data')),
    String(asked),
  );
  assert.ok(
    kept.some((request) => request.endsWith('config.json')),
    'other files go to the other cache',
  );
  assert.ok(!kept.some((request) => request.endsWith('onnx_data')), 'a restored file is not stored again');
  assert.deepEqual(env.log, [], 'the weights are not asked for');
});

test('a failed restore is reported, and does not count as a miss that downloads', async (t) => {
  const page = await hub(t);
  const failures = await page.evaluate(async () => {
    // transformers.js does not handle the failure of external data, and waits forever.
    const unhandled = new Promise((resolve) =>
      addEventListener('unhandledrejection', (event) => {
        event.preventDefault();
        resolve();
      }),
    );
    useParts('/parts/other');
    await Promise.race([unhandled, load()]);
    return failures;
  });
  const request = '/hub/mine/onnx/model.onnx_data';
  assert.deepEqual(failures, [['BitxError', 'base-mismatch', request]]);
  assert.deepEqual(env.log, []);
});

test('an invalid delta is reported as well', async (t) => {
  const page = await hub(t);
  env.mounts['/parts/delta'] = served(Buffer.from('<!doctype html>'.repeat(100)));
  const found = await page.evaluate(async () => {
    useParts('/parts/base');
    const response = await env.customCache.match('/hub/mine/onnx/model.onnx_data');
    const body = await response.text().then(String, ({ name }) => name);
    return { body, failures };
  });
  assert.equal(found.body, 'TypeError');
  assert.deepEqual(found.failures, [['BitxError', 'format', '/hub/mine/onnx/model.onnx_data']]);
});
