/** Merging LoRA adapters in a page, against models that PEFT merged. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { bitxPage } from './api-support.mjs';
import { adapters, EXACT, vector } from './merge-support.mjs';
import { environment, sha256 } from './support.mjs';

const env = environment();
env.mounts['/adapters/'] = adapters;

const digestOf = (path) => sha256(readFileSync(path));
const merged = (name) => digestOf(vector(adapters, name).merged);

for (const isolated of [true, false]) {
  test(`a page merges what PEFT merges, isolated: ${isolated}`, async (t) => {
    const page = await bitxPage(t, env, { isolated });
    for (const name of EXACT) {
      const { base, adapter, config } = vector('/adapters', name);
      const result = await page.evaluate(
        async (options) => {
          let stats;
          const progress = [];
          const model = await bitx.merge({
            ...options,
            onStats: (measured) => {
              stats = measured;
            },
            onProgress: (now) => progress.push(now),
          });
          return { digest: await sha256(model), size: model.size, stats, last: progress.at(-1) };
        },
        { base, adapter, config },
      );
      assert.equal(result.digest, merged(name), name);
      assert.deepEqual(result.last, { phase: 'merge', loaded: result.size, total: result.size });
      assert.equal(result.stats.computed, true);
      assert.equal(result.stats.archive, undefined);
      assert.equal(result.stats.outputBytes, result.size);
      assert.ok(result.stats.tensors.length >= 3 && result.stats.tensors.every((name) => name), name);
    }
  });
}

test('a merge is written to streams and files, and tells its length first', async (t) => {
  const page = await bitxPage(t, env);
  const { base, adapter, config } = vector('/adapters', 'bf16');
  const result = await page.evaluate(
    async (options) => {
      const { length, response } = await bitx.mergeStream(options);
      const streamed = await response().blob();
      const { stream, parts, events } = recorder();
      const nothing = await bitx.merge({ ...options, output: stream });
      const folder = await navigator.storage.getDirectory();
      const handle = await folder.getFileHandle('merged', { create: true });
      await bitx.merge({ ...options, output: handle });
      const files = [streamed, new Blob(parts), await handle.getFile()];
      const digests = await Promise.all(files.map(sha256));
      return { length, size: streamed.size, digests, nothing: nothing === undefined, events };
    },
    { base, adapter, config },
  );
  assert.deepEqual(result.digests, new Array(3).fill(merged('bf16')));
  assert.ok(result.nothing && result.length === result.size);
  assert.deepEqual(result.events, ['close']);
});

test('an aborted merge leaves nothing behind', async (t) => {
  const page = await bitxPage(t, env);
  const { base, adapter, config } = vector('/adapters', 'f32');
  const result = await page.evaluate(
    async (options) => {
      const { stream, events } = recorder();
      const stop = new AbortController();
      const call = bitx.merge({ ...options, output: stream, signal: stop.signal });
      stop.abort();
      const { code } = await failure(call);
      return { code, events, again: (await bitx.merge(options)).size > 0 };
    },
    { base, adapter, config },
  );
  assert.deepEqual(result, { code: 'aborted', events: ['abort'], again: true });
});

test('an adapter in the base makes the merged model cost next to nothing', async (t) => {
  const page = await bitxPage(t, env);
  for (const name of EXACT) {
    const files = vector('/adapters', name);
    const { sizes, digest, bases } = await page.evaluate(
      async ({ base, adapter, config, merged: target }) => {
        const delta = await bitx.compress({ base, adapter, config, target });
        const without = await bitx.compress({ base, target });
        const model = await bitx.restore({ base: [base, adapter], delta });
        const { bases } = await bitx.inspect(delta);
        return { sizes: [delta.size, without.size], digest: await sha256(model), bases: bases.length };
      },
      files,
    );
    assert.equal(digest, merged(name), name);
    assert.equal(bases, 2);
    assert.ok(sizes[0] * 4 < sizes[1], `${name}: ${sizes}`);
  }
});

test('what cannot be merged says why', async (t) => {
  const page = await bitxPage(t, env);
  const { base, adapter, config } = vector('/adapters', 'f32');
  const other = vector('/adapters', 'f32-transposed');
  const failures = await page.evaluate(
    async ([options, other]) => {
      const dora = new Blob(['{"peft_type": "LORA", "use_dora": true}']);
      const calls = {
        base: { base: other.base },
        dora: { config: dora },
        json: { config: new Blob(['no JSON']) },
        empty: { config: new Blob([]) },
        long: { config: new Blob([' '.repeat((16 << 20) + 1)]) },
        cut: { adapter: (await blobOf(options.adapter)).slice(0, -1) },
        file: { file: 1 },
        fraction: { file: 0.5 },
        missing: { config: undefined },
        adapter: { adapter: undefined },
        target: { target: options.base },
        status: { config: '/nowhere' },
      };
      const all = {};
      for (const [name, change] of Object.entries(calls)) {
        const { code, file, message } = await failure(bitx.merge({ ...options, ...change }));
        all[name] = [code, file, message];
      }
      const compress = { base: options.base, target: options.base, adapter: options.adapter };
      all.compress = [(await failure(bitx.compress(compress))).code];
      all.v1 = [(await failure(bitx.compress({ ...compress, config: options.config, level: 3 }))).code];
      return all;
    },
    [{ base, adapter, config }, other],
  );
  const codes = Object.fromEntries(Object.entries(failures).map(([name, [code]]) => [name, code]));
  assert.deepEqual(codes, {
    base: 'base-mismatch',
    dora: 'unsupported',
    json: 'format',
    empty: 'format',
    long: 'limit',
    cut: 'truncated',
    file: 'invalid-argument',
    fraction: 'invalid-argument',
    missing: 'invalid-argument',
    adapter: 'invalid-argument',
    target: 'invalid-argument',
    status: 'network',
    compress: 'invalid-argument',
    v1: 'invalid-argument',
  });
  assert.deepEqual(failures.missing.slice(1, 2), ['config']);
  assert.match(failures.adapter[2], /^adapter is missing/);
});
