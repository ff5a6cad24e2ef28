import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE, bitxPage as openBitx, SFT, SFT_V2 } from './api-support.mjs';
import { environment, openPage, SHA256 } from './support.mjs';

const env = environment();
const bitxPage = (t, options) => openBitx(t, env, options);

test('every kind of input restores the same model', async (t) => {
  const page = await bitxPage(t);
  const digests = await page.evaluate(
    async ([base, sft]) => {
      const [baseBlob, deltaBlob] = await Promise.all([blobOf(base), blobOf(sft)]);
      const buffer = await deltaBlob.arrayBuffer();
      const padded = new Uint8Array(buffer.byteLength + 20);
      padded.set(new Uint8Array(buffer), 10);
      const inputs = [
        [base, sft],
        [new URL(base, location.href), await fetch(sft)],
        [baseBlob, new File([deltaBlob], 'sft.bitx')],
        [await baseBlob.arrayBuffer(), padded.subarray(10, padded.length - 10)],
      ];
      const models = inputs.map(([base, delta]) => bitx.restore({ base, delta }));
      return Promise.all(models.map(async (model) => sha256(await model)));
    },
    [BASE, SFT],
  );
  assert.deepEqual(digests, new Array(4).fill(SHA256.sft));
});

test('an output above maxOutput is refused before it is made', async (t) => {
  const page = await bitxPage(t);
  const codes = await page.evaluate(
    async ([base, ...deltas]) => {
      const code = (call) =>
        call.then(
          () => 'restored',
          (error) => error.code,
        );
      const calls = deltas.flatMap((delta) =>
        [1000, 1e9].map((maxOutput) => code(bitx.restore({ base, delta, maxOutput }))),
      );
      return Promise.all(calls);
    },
    [BASE, SFT, SFT_V2],
  );
  assert.deepEqual(codes, ['limit', 'restored', 'limit', 'restored']);
});

test('a v1 archive and a v2 archive of one model restore the same', async (t) => {
  const page = await bitxPage(t);
  const digests = await page.evaluate(
    async ([base, ...deltas]) =>
      Promise.all(deltas.map(async (delta) => sha256(await bitx.restore({ base, delta })))),
    [BASE, SFT, SFT_V2],
  );
  assert.deepEqual(digests, [SHA256.sft, SHA256.sft]);
});

for (const isolated of [true, false]) {
  test(`compress and restore give the model back, isolated: ${isolated}`, async (t) => {
    const page = await bitxPage(t, { isolated });
    const result = await page.evaluate(
      async ([base, delta]) => {
        const target = await bitx.restore({ base, delta });
        let stats;
        const threads = [];
        const onStats = (measured) => {
          stats = measured;
          threads.push(measured.threads);
        };
        const ways = [
          { level: 3 },
          { format: 'v1' },
          {},
          { effort: 'fast' },
          { format: 'v2', effort: 'max' },
        ];
        const made = [];
        for (const way of ways) made.push(await bitx.compress({ base, target, ...way, onStats }));
        const digests = made.map(async (delta) => sha256(await bitx.restore({ base, delta })));
        return {
          digests: await Promise.all(digests),
          versions: await Promise.all(made.map(async (delta) => (await bitx.inspect(delta)).version)),
          sizes: made.map(({ size }) => size),
          stats,
          threads,
          mode: bitx.mode,
        };
      },
      [BASE, SFT],
    );
    assert.deepEqual(result.digests, new Array(5).fill(SHA256.sft));
    assert.deepEqual(result.versions, [1, 1, 2, 2, 2]);
    const [level3, v1, v2, fast, max] = result.sizes;
    assert.ok(level3 === v1 && max < v2 && v2 < fast && fast < v1, `${result.sizes}`);
    assert.ok(v1 < 0.4 * 1_192_912, `${v1} bytes`);
    assert.equal(result.mode, isolated ? 'threads' : 'pool');
    // Only v1 is compressed by one worker where threads do not share memory.
    assert.deepEqual(result.threads, isolated ? [2, 2, 2, 2, 2] : [1, 1, 2, 2, 2]);
    assert.equal(result.stats.outputBytes, max);
    assert.equal(result.stats.archive.tensors.length, 14);
  });
}

test('inspect describes the content of an archive', async (t) => {
  const page = await bitxPage(t);
  const info = await page.evaluate((delta) => bitx.inspect(delta), SFT);
  assert.equal(info.version, 1);
  assert.equal(info.restoredBytes, 1_192_912);
  const { name, dtype, shape, restoredBytes, storedBytes } = info.tensors.find(
    ({ shape }) => shape.length === 2,
  );
  assert.ok(name && dtype && storedBytes > 0);
  assert.equal(restoredBytes, shape[0] * shape[1] * (dtype === 'I64' ? 8 : 2));
});

test("tensors lists the places of a model's tensors, and none for other files", async (t) => {
  const page = await bitxPage(t);
  const { places, none, refused } = await page.evaluate(
    async (base) => ({
      places: await bitx.tensors(base),
      none: await bitx.tensors(new Blob(['{}'])),
      refused: await failure(bitx.tensors(new Blob([new Uint8Array([90, 0, 0, 0, 0, 0, 0, 0, 123])]))),
    }),
    BASE,
  );
  assert.equal(places.length, 14);
  assert.ok(
    places.every(({ offset }, i) => i === 0 || offset === places[i - 1].offset + places[i - 1].length),
  );
  const { name, dtype, shape, length } = places.find(({ shape }) => shape.length === 2);
  assert.ok(name);
  assert.equal(length, shape[0] * shape[1] * (dtype === 'I64' ? 8 : 2));
  assert.deepEqual(none, []);
  assert.deepEqual([refused.code, refused.file], ['truncated', 'target']);
});

test('one tensor is read without the others, and only its bytes are fetched', async (t) => {
  const page = await openPage(t, env);
  const result = await page.evaluate(
    async ([base, delta]) => {
      const { Bitx } = await import('/bitx/index.js');
      const bitx = await Bitx.create({ workerUrl: '/broken/counting-reads.js' });
      const [baseBlob, deltaBlob] = await Promise.all(
        [base, delta].map(async (path) => (await fetch(path)).blob()),
      );
      const { tensors } = await bitx.inspect(deltaBlob);
      const tensor = tensors.find(({ method, name }) => method === 'delta' && name.includes('query.weight'));
      const model = await bitx.restore({ base: baseBlob, delta: deltaBlob });
      const reads = [];
      const channel = new BroadcastChannel('reads');
      channel.onmessage = ({ data }) => reads.push(data);
      const bytes = await bitx.readTensor({ base: baseBlob, delta: deltaBlob, name: tensor.name });
      await new Promise((resolve) => setTimeout(resolve, 200));
      const count = ({ size }) =>
        reads.filter((read) => read.size === size).reduce((sum, { start, end }) => sum + end - start, 0);
      const whole = new Uint8Array(await model.arrayBuffer());
      const length = Number(new DataView(whole.buffer).getBigUint64(0, true));
      const header = JSON.parse(new TextDecoder().decode(whole.subarray(8, 8 + length)));
      const expected = whole.subarray(...header[tensor.name].data_offsets.map((at) => at + 8 + length));
      return {
        tensor,
        same: bytes.length === expected.length && bytes.every((byte, i) => byte === expected[i]),
        base: count(baseBlob),
        delta: count(deltaBlob),
      };
    },
    [BASE, SFT_V2],
  );
  const { tensor, same, base, delta } = result;
  assert.ok(same);
  // Besides the tensor, the beginning of each file with the headers, and the end of the archive
  // with the index.
  assert.ok(base >= tensor.restoredBytes && base < tensor.restoredBytes + 70_000, `${base} bytes`);
  assert.ok(delta >= tensor.storedBytes && delta < tensor.storedBytes + 2 * 70_000, `${delta} bytes`);
});

test('a base may come in several files', async (t) => {
  const page = await bitxPage(t);
  const result = await page.evaluate(
    async ([path, sft]) => {
      const target = await bitx.restore({ base: path, delta: sft });
      const bytes = new Uint8Array(await (await blobOf(path)).arrayBuffer());
      const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
      const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
      /** Returns a file with only some of the tensors. */
      const shard = (wanted) => {
        const parts = [];
        let at = 0;
        const entries = Object.entries(header).filter(([name]) => name !== '__metadata__');
        const picked = entries
          .filter((_, i) => wanted(i))
          .map(([name, { data_offsets, ...tensor }]) => {
            const [start, end] = data_offsets;
            parts.push(bytes.subarray(8 + length + start, 8 + length + end));
            at += end - start;
            return [name, { ...tensor, data_offsets: [at - (end - start), at] }];
          });
        const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(picked)));
        return new Blob([new BigUint64Array([BigInt(text.length)]), text, ...parts]);
      };
      const base = [shard((i) => i % 2 === 0), shard((i) => i % 2 === 1)];
      const delta = await bitx.compress({ base, target });
      const digest = await sha256(await bitx.restore({ base, delta }));
      const reversed = await sha256(await bitx.restore({ base: [...base].reverse(), delta }));
      const few = await failure(bitx.restore({ base: base[0], delta }));
      return { digest, reversed, size: delta.size, code: few.code };
    },
    [BASE, SFT],
  );
  assert.equal(result.digest, SHA256.sft);
  assert.ok(result.size < 250_000, `${result.size} bytes`);
  assert.equal(result.reversed, SHA256.sft, 'the order of the files does not matter');
  assert.equal(result.code, 'base-mismatch');
});

test('a WritableStream gets every byte and is closed', async (t) => {
  const page = await bitxPage(t);
  const result = await page.evaluate(
    async ([base, delta]) => {
      const { stream, parts, events } = recorder();
      const returned = await bitx.restore({ base, delta, output: stream });
      return { returned, events, digest: await sha256(new Blob(parts)) };
    },
    [BASE, SFT],
  );
  assert.deepEqual(result, { returned: undefined, events: ['close'], digest: SHA256.sft });
});

for (const [how, worker] of [
  ['through an access handle', 'no-writable'],
  ['through a stream', 'no-access'],
]) {
  test(`a file handle gets the model, and keeps its old content if a call fails: ${how}`, async (t) => {
    const page = await openPage(t, env);
    const result = await page.evaluate(
      async ([base, delta, workerUrl]) => {
        const { Bitx } = await import('/bitx/index.js');
        const bitx = await Bitx.create({ workerUrl, threads: 1 });
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('models', { create: true });
        const output = await folder.getFileHandle('model', { create: true });
        const sizes = [];
        for (let call = 0; call < 2; call++) {
          await bitx.restore({ base, delta, output });
          sizes.push((await output.getFile()).size);
        }
        const broken = (await (await fetch(delta)).blob()).slice(0, 300_000);
        const { code } = await bitx.restore({ base, delta: broken, output }).catch((error) => error);
        const bytes = await (await output.getFile()).arrayBuffer();
        const digest = Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), (byte) =>
          byte.toString(16).padStart(2, '0'),
        ).join('');
        return { sizes, code, digest, names: await Array.fromAsync(folder.keys()) };
      },
      [BASE, SFT, `/broken/${worker}.js`],
    );
    const sizes = [1_192_912, 1_192_912];
    assert.deepEqual(result, { sizes, code: 'truncated', digest: SHA256.sft, names: ['model'] });
  });
}

test('progress is reported in bytes and never decreases', async (t) => {
  const page = await bitxPage(t);
  const events = await page.evaluate(
    async ([base, delta]) => {
      const events = [];
      const onProgress = (event) => events.push(event);
      const [whole, piecewise] = await Promise.all([fetch(base), fetch(delta)]);
      await bitx.restore({ base: whole, delta: piecewise, onProgress });
      return events;
    },
    [BASE, SFT],
  );
  const phase = (name) => events.filter(({ phase }) => phase === name);
  const [downloads, restores] = [phase('download'), phase('restore')];
  assert.equal(downloads.length + restores.length, events.length);
  assert.deepEqual(downloads.at(-1), { phase: 'download', loaded: 1_599_405, total: 1_599_405 });
  assert.equal(restores.at(-1).loaded, restores.at(-1).total);
  for (const list of [downloads, restores]) {
    assert.ok(list.every(({ loaded }, i) => i === 0 || loaded >= list[i - 1].loaded));
  }
});
