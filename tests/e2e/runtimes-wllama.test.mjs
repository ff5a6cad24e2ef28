import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Bitx } from '../../js/dist/node.js';
import { root } from '../../scripts/lib/paths.mjs';
import { ggufModel, quantisedModel } from './gguf-model.mjs';
import { served } from './runtimes-support.mjs';
import { environment, openPage } from './support.mjs';

const env = environment();
const MODELS = {
  F32: [ggufModel(), ggufModel(0.05)],
  Q4_K_M: [quantisedModel(), quantisedModel(0.2)],
};

before(async () => {
  const bitx = await Bitx.create({ threads: 1 });
  for (const [kind, [base, target]] of Object.entries(MODELS)) {
    const delta = Buffer.from(await (await bitx.compress({ base, target })).arrayBuffer());
    const { tensors } = await bitx.inspect(delta);
    const [type] = kind.split('_M');
    assert.ok(tensors.some(({ dtype, method }) => dtype === type && method !== 'raw'));
    for (const [name, file] of Object.entries({ base, target, delta })) {
      env.mounts[`/parts/${kind}/${name}`] = served(file);
    }
  }
  bitx.dispose();
  const wllama = join(root, 'node_modules/@wllama/wllama/esm');
  Object.assign(env.mounts, {
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

for (const [kind, isolated] of [
  ['F32', true],
  ['F32', false],
  ['Q4_K_M', true],
]) {
  test(`wllama runs a restored Blob in ${kind}, ${isolated ? '' : 'not '}isolated`, async (t) => {
    const page = await openPage(t, env, { isolated });
    await page.evaluate(`globalThis.embed = ${embed}`);
    const found = await page.evaluate(async (kind) => {
      const { Bitx } = await import('/bitx/index.js');
      const bitx = await Bitx.create();
      const restored = await bitx.restore({ base: `/parts/${kind}/base`, delta: `/parts/${kind}/delta` });
      bitx.dispose();
      const blobs = ['base', 'target'].map(async (name) => (await fetch(`/parts/${kind}/${name}`)).blob());
      return {
        restored: await embed(restored),
        base: await embed(await blobs[0]),
        target: await embed(await blobs[1]),
      };
    }, kind);
    assert.equal(found.restored.vocabulary, 259);
    assert.deepEqual(found.restored, found.target);
    assert.notDeepEqual(found.restored, found.base);
  });
}
