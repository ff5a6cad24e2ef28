/** Compresses in a page that is not isolated, on all cores. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { largeModels, sentBy, sleep } from './large-models.mjs';
import { environment } from './support.mjs';

const env = environment();
/** 48 MiB, which makes 6 windows. */
const { site: openSite } = largeModels(env, 6);
const site = async (t, options) => {
  const { page, base } = await openSite(t, { isolated: false, ...options });
  await page.evaluate(() => {
    globalThis.target = '/models/target';
  });
  return { page, base };
};

test('archives are those of the other modes, at every effort', async (t) => {
  const digests = async (options) => {
    const { page } = await site(t, options);
    return page.evaluate(async () => {
      const found = {};
      const compressed = async (inputs) => sha256(await bitx.compress(inputs));
      for (const effort of ['fast', 'default']) found[effort] = await compressed({ base, target, effort });
      const small = { base: '/vectors/base-bf16.safetensors' };
      small.target = await bitx.restore({ ...small, delta: '/vectors/sft-bf16.v1.bitx' });
      for (const effort of ['default', 'max'])
        found[`small ${effort}`] = await compressed({ ...small, effort });
      found.v1 = await compressed({ ...small, format: 'v1' });
      found.nothing = await compressed({ base: new Blob(), target: new Blob() });
      return found;
    });
  };
  const pool = await digests({});
  assert.deepEqual(await digests({ threads: 1 }), pool);
  assert.deepEqual(await digests({ isolated: true }), pool);
});

test('a model of one predicted tensor of several windows, and stats', async (t) => {
  const { page } = await site(t);
  const found = await page.evaluate(async () => {
    const [rows, columns] = [3000, 4000];
    const noise = (i) => ((Math.imul(i, 0x9e3779b9) >>> 7) & 0xffff) / 65536 - 0.5;
    const file = (weight) => {
      const words = new Uint16Array(rows * columns);
      const [single, bits] = [new Float32Array(1), new Uint32Array(1)];
      for (let i = 0; i < words.length; i++) {
        single[0] = weight(i);
        bits.set(new Uint32Array(single.buffer));
        words[i] = (bits[0] + 0x8000) >>> 16;
      }
      const entry = { dtype: 'BF16', shape: [rows, columns], data_offsets: [0, words.byteLength] };
      const header = new TextEncoder().encode(JSON.stringify({ w: entry }));
      return new Blob([new BigUint64Array([BigInt(header.length)]), header, words]);
    };
    const weight = (i) => 0.05 * noise(i);
    const moved = (i) =>
      weight(i) + 0.01 * noise(Math.floor(i / columns) * 31 + 5) * noise((i % columns) * 17 + 3);
    const models = { base: file(weight), target: file(moved) };
    let stats;
    const onStats = (measured) => {
      stats = measured;
    };
    const steps = [];
    const onProgress = ({ phase, loaded, total }) => steps.push([phase, loaded, total]);
    const delta = await bitx.compress({ ...models, onStats, onProgress });
    const { Bitx } = await import('/bitx/index.js');
    const single = await Bitx.create({ threads: 1 });
    const alone = await single.compress(models);
    single.dispose();
    const { archive, ...measured } = stats;
    return {
      same: (await sha256(delta)) === (await sha256(alone)),
      back:
        (await sha256(await bitx.restore({ base: models.base, delta }))) === (await sha256(models.target)),
      rank: archive.tensors[0].prediction?.rank,
      size: models.target.size,
      steps,
      measured,
    };
  });
  const { same, back, rank, size, steps, measured } = found;
  assert.deepEqual([same, back], [true, true]);
  assert.ok(rank > 0);
  assert.deepEqual(
    [steps[0], steps.at(-1)],
    [
      ['compress', 0, size],
      ['compress', size, size],
    ],
  );
  assert.equal(measured.threads, 2);
  assert.ok(measured.codecSeconds > 0 && measured.codecSeconds <= measured.totalSeconds);
  assert.ok(measured.wasmBytes < 256 << 20, `${measured.wasmBytes} bytes`);
});

test('a stream without a reader stops reading its inputs', async (t) => {
  const { page, base } = await site(t);
  const before = sentBy(base);
  await page.evaluate(async () => {
    const { stream } = await bitx.compressStream({ base, target, effort: 'fast' });
    globalThis.reader = stream.getReader();
    globalThis.parts = [(await reader.read()).value];
  });
  await sleep(3000);
  const sent = sentBy(base);
  await sleep(500);
  assert.equal(sentBy(base), sent);
  assert.ok(sent > before);
  const found = await page.evaluate(async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) parts.push(part.value);
    return [await sha256(new Blob(parts)), await sha256(delta)];
  });
  assert.equal(found[0], found[1]);
});

test('the pool still works after an abort in the middle of a call', async (t) => {
  const { page } = await site(t);
  const result = await page.evaluate(async () => {
    const stop = new AbortController();
    const onProgress = ({ loaded }) => loaded > 0 && stop.abort();
    const inputs = { base, target, effort: 'fast' };
    const { code } = await failure(bitx.compress({ ...inputs, signal: stop.signal, onProgress }));
    const same = (await sha256(await bitx.compress(inputs))) === (await sha256(delta));
    return { code, same, mode: bitx.mode };
  });
  assert.deepEqual(result, { code: 'aborted', same: true, mode: 'pool' });
});

test('an input that cannot be read is an error, and the pool goes on', async (t) => {
  const { page } = await site(t);
  const result = await page.evaluate(async () => {
    const bytes = await (await fetch(target)).blob();
    const broken = {
      size: bytes.size,
      read: (offset, length) => {
        if (offset > bytes.size / 2) throw new Error('gone');
        return bytes
          .slice(offset, offset + length)
          .arrayBuffer()
          .then((read) => new Uint8Array(read));
      },
    };
    const { code, file } = await failure(bitx.compress({ base, target: broken, effort: 'fast' }));
    const same =
      (await sha256(await bitx.compress({ base, target, effort: 'fast' }))) === (await sha256(delta));
    return { code, file, same };
  });
  assert.deepEqual(result, { code: 'io', file: 'target', same: true });
});

for (const fault of ['dying-searchers', 'dying-coders', 'silent-coders', 'ending-coders']) {
  test(`the call completes: ${fault}`, async (t) => {
    // The first page makes the archive to compare with.
    await site(t);
    const { page } = await site(t, { workerUrl: `/broken/${fault}.js` });
    const result = await page.evaluate(async () => {
      const parts = [];
      const output = new WritableStream({ write: (part) => void parts.push(part) });
      await bitx.compress({ base, target, effort: 'fast', output });
      return { same: (await sha256(new Blob(parts))) === (await sha256(delta)), mode: bitx.mode };
    });
    assert.deepEqual(result, { same: true, mode: 'pool' });
  });
}
