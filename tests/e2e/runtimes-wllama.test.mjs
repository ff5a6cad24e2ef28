import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Bitx } from '../../js/dist/node.js';
import { root } from '../../scripts/lib/paths.mjs';
import { ggufModel } from './gguf-model.mjs';
import { environment, openPage } from './support.mjs';

const env = environment();
const base = ggufModel();
const target = ggufModel(0.05);

const served = (content) => (_, response) =>
  response.writeHead(200, { 'content-length': content.length }).end(content);

before(async () => {
  const bitx = await Bitx.create({ threads: 1 });
  const delta = Buffer.from(await (await bitx.compress({ base, target })).arrayBuffer());
  bitx.dispose();
  const wllama = join(root, 'node_modules/@wllama/wllama/esm');
  Object.assign(env.mounts, {
    '/parts/base': served(base),
    '/parts/target': served(target),
    '/parts/delta': served(delta),
    '/wllama.js': join(wllama, 'index.min.js'),
    '/wllama.wasm': join(wllama, 'wasm/wllama.wasm'),
  });
});

/** Runs in the page: returns the output of a model for a text. */
async function embed(blob) {
  const { LoggerWithoutDebug, Wllama } = await import('/wllama.js');
  const wllama = new Wllama({ default: '/wllama.wasm' }, { logger: LoggerWithoutDebug });
  await wllama.loadModel([blob], { embeddings: true, pooling_type: 'mean', n_ctx: 64, n_gpu_layers: 0 });
  const { hparams } = wllama.getModelMetadata();
  const { data } = await wllama.createEmbedding({ input: 'delta' });
  await wllama.exit();
  return { vocabulary: hparams.nVocab, numbers: data[0].embedding };
}

for (const isolated of [true, false]) {
  test(`wllama runs a restored Blob, ${isolated ? '' : 'not '}isolated`, async (t) => {
    const page = await openPage(t, env, { isolated });
    await page.evaluate(`globalThis.embed = ${embed}`);
    const found = await page.evaluate(async () => {
      const { Bitx } = await import('/bitx/index.js');
      const bitx = await Bitx.create();
      const restored = await bitx.restore({ base: '/parts/base', delta: '/parts/delta' });
      bitx.dispose();
      const blobs = ['base', 'target'].map(async (name) => (await fetch(`/parts/${name}`)).blob());
      return {
        restored: await embed(restored),
        base: await embed(await blobs[0]),
        target: await embed(await blobs[1]),
      };
    });
    assert.equal(found.restored.vocabulary, 259);
    assert.deepEqual(found.restored, found.target);
    assert.notDeepEqual(found.restored, found.base);
  });
}
