/** web-llm finds restored weights in the Cache API, in the place of a download. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Bitx } from '../../js/dist/node.js';
import { root } from '../../scripts/lib/paths.mjs';
import { environment, openPage, sha256 } from './support.mjs';

const env = environment();
/** Shards of a model in q4f16_1: packed weights and scales without a header. */
const SHARDS = [0, 1].map((shard) => {
  const base = Buffer.from(
    Uint32Array.from({ length: 40_000 }, (_, i) => Math.imul(i + 7, 2_654_435_761 + shard)).buffer,
  );
  const target = Buffer.from(base.map((byte, i) => (i % 50 === 0 ? byte ^ 1 : byte)));
  return { name: `params_shard_${shard}.bin`, base, target };
});

const served = (content) => (_, response) =>
  response.writeHead(200, { 'content-length': content.length }).end(content);

before(async () => {
  const bitx = await Bitx.create({ threads: 1 });
  for (const { name, base, target } of SHARDS) {
    const delta = Buffer.from(await (await bitx.compress({ base, target })).arrayBuffer());
    assert.ok(delta.length < 0.3 * target.length, `${delta.length} bytes`);
    env.mounts[`/base/${name}`] = served(base);
    env.mounts[`/delta/${name}`] = served(delta);
  }
  bitx.dispose();
  const records = SHARDS.map(({ name, target }) => ({ dataPath: name, nbytes: target.length, records: [] }));
  env.mounts['/hub/tensor-cache.json'] = served(Buffer.from(JSON.stringify({ metadata: {}, records })));
  env.mounts['/web-llm.js'] = join(root, 'node_modules/@mlc-ai/web-llm/lib/index.js');
});

test('web-llm has a model once its restored shards are in the cache', async (t) => {
  const page = await openPage(t, env);
  const names = SHARDS.map(({ name }) => name);
  const found = await page.evaluate(async (names) => {
    const [{ Bitx }, { hasModelInCache }] = await Promise.all([
      import('/bitx/index.js'),
      import('/web-llm.js'),
    ]);
    const model = new URL('/models/mine', location.href).href;
    const app = { model_list: [{ model, model_id: 'mine', model_lib: 'none' }] };
    const before = await hasModelInCache('mine', app);
    const cache = await caches.open('webllm/model');
    await cache.put(`${model}/resolve/main/tensor-cache.json`, await fetch('/hub/tensor-cache.json'));
    const bitx = await Bitx.create();
    const partly = [];
    for (const name of names) {
      partly.push(await hasModelInCache('mine', app));
      const { response } = await bitx.restoreStream({ base: `/base/${name}`, delta: `/delta/${name}` });
      await cache.put(`${model}/resolve/main/${name}`, response());
    }
    bitx.dispose();
    const shards = await Promise.all(
      names.map(async (name) => {
        const bytes = await (await cache.match(`${model}/resolve/main/${name}`)).arrayBuffer();
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
        return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
      }),
    );
    return { before, partly, after: await hasModelInCache('mine', app), shards };
  }, names);
  assert.deepEqual(found, {
    before: false,
    partly: [false, false],
    after: true,
    shards: SHARDS.map(({ target }) => sha256(target)),
  });
});
