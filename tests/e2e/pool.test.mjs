/** Restores in a page that is not isolated, on all cores, with a model of many windows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { largeModels, sentBy, sleep } from './large-models.mjs';
import { environment, SHA256 } from './support.mjs';

const env = environment();
/** 64 MiB, which makes 16 windows. */
const { models, site: openSite } = largeModels(env, 8);
const site = (t, options) => openSite(t, { isolated: false, ...options });

test('archives of either format restore to the bit', async (t) => {
  const { page } = await site(t);
  const found = await page.evaluate(async () => {
    const digest = async (delta) =>
      sha256(await bitx.restore({ base: '/vectors/base-bf16.safetensors', delta: `/vectors/${delta}` }));
    return {
      mode: bitx.mode,
      sft: await digest('sft-bf16.v2.bitx'),
      predicted: await digest('sft-bf16.predicted.v2.bitx'),
      v1: await digest('sft-bf16.v1.bitx'),
      lora: await digest('lora-bf16.v1.bitx'),
      large: await sha256(await bitx.restore({ base, delta })),
    };
  });
  const { sft, lora } = SHA256;
  assert.deepEqual(found, { mode: 'pool', sft, predicted: sft, v1: sft, lora, large: models.sha256 });
});

test('progress, and memory that does not grow with the model', async (t) => {
  const { page } = await site(t);
  const { stats, steps, length } = await page.evaluate(async () => {
    const steps = [];
    let stats;
    await bitx.restore({
      base,
      delta,
      output: new WritableStream({}),
      onProgress: ({ phase, loaded, total }) => phase === 'restore' && steps.push([loaded, total]),
      onStats: ({ archive, ...measured }) => {
        stats = measured;
      },
    });
    return { stats, steps, length: (await (await fetch(base)).blob()).size };
  });
  assert.equal(stats.threads, 2);
  assert.equal(stats.outputBytes, length);
  assert.ok(stats.codecSeconds > 0 && stats.codecSeconds <= stats.totalSeconds, JSON.stringify(stats));
  // Three instances with a window each.
  assert.ok(stats.wasmBytes > 3 << 20 && stats.wasmBytes < 64 << 20, `${stats.wasmBytes} bytes`);
  assert.deepEqual(
    [steps[0], steps.at(-1)],
    [
      [0, length],
      [length, length],
    ],
  );
  assert.ok(steps.length > 8);
  assert.ok(steps.every(([loaded], i) => i === 0 || loaded > steps[i - 1][0]));
});

test('a stream without a reader stops reading its inputs', async (t) => {
  const { page, base } = await site(t);
  await page.evaluate(async () => {
    const { stream } = await bitx.restoreStream({ base, delta });
    globalThis.reader = stream.getReader();
    globalThis.parts = [(await reader.read()).value];
  });
  await sleep(1500);
  const sent = sentBy(base);
  // In windows of 4 MiB: five are read, five are on their way, one waits for the stream, and two
  // are in it.
  assert.ok(sent <= 13 * (4 << 20) + 1e6, `${sent} bytes for one window`);
  await sleep(500);
  assert.equal(sentBy(base), sent);
  const digest = await page.evaluate(async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) parts.push(part.value);
    return sha256(new Blob(parts));
  });
  assert.equal(digest, models.sha256);
});

test('the pool still works after an abort in the middle of a call', async (t) => {
  const { page } = await site(t);
  const result = await page.evaluate(async () => {
    const stop = new AbortController();
    const onProgress = ({ loaded, total }) => loaded > total / 2 && stop.abort();
    const { code } = await failure(bitx.restore({ base, delta, signal: stop.signal, onProgress }));
    return { code, digest: await sha256(await bitx.restore({ base, delta })), mode: bitx.mode };
  });
  assert.deepEqual(result, { code: 'aborted', digest: models.sha256, mode: 'pool' });
});

test('two streams and a tensor are read concurrently', async (t) => {
  const { page } = await site(t);
  const result = await page.evaluate(async () => {
    const restored = await Promise.all([0, 1].map(() => bitx.restoreStream({ base, delta })));
    const digests = restored.map(async ({ response }) => sha256(await response().blob()));
    const { length } = await bitx.readTensor({ base, delta, name: 'layers.1.weight' });
    return { digests: await Promise.all(digests), length };
  });
  assert.deepEqual(result, { digests: new Array(2).fill(models.sha256), length: 8 << 20 });
});

test('a wrong base is an error that names the tensor', async (t) => {
  const { page } = await site(t);
  const { code, file, tensor } = await page.evaluate(async () => {
    const wrong = await bytes(await (await fetch(base)).blob());
    wrong[wrong.length - (3 << 23)] ^= 1;
    return failure(bitx.restore({ base: wrong, delta }));
  });
  assert.deepEqual(
    { code, file, tensor },
    { code: 'base-mismatch', file: 'base', tensor: 'layers.5.weight' },
  );
});

test('the last bytes are held back until the whole archive has been checked', async (t) => {
  const { page } = await site(t);
  const { error, got, length } = await page.evaluate(async () => {
    const damaged = await bytes(delta);
    const { tensors, restoredBytes } = await bitx.inspect(delta);
    // The base's checksum in the first record is only checked if something else is wrong.
    const index = new DataView(damaged.buffer).getBigUint64(damaged.length - 48, true);
    const first = Number(index) - tensors.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    damaged[first + 13] ^= 1;
    let got = 0;
    const output = new WritableStream({
      write: ({ length }) => {
        got += length;
      },
    });
    const error = await failure(bitx.restore({ base, delta: damaged, output }));
    return { error, got, length: restoredBytes };
  });
  assert.equal(error.code, 'corrupt');
  assert.match(error.message, /digest/);
  assert.ok(got > 0 && got < length, `${got} of ${length} bytes`);
});

for (const fault of ['dying-members', 'silent-members']) {
  test(`the call completes: ${fault}`, async (t) => {
    const { page } = await site(t, { workerUrl: `/broken/${fault}.js` });
    const result = await page.evaluate(async () => {
      const before = bitx.mode;
      const parts = [];
      const output = new WritableStream({ write: (part) => void parts.push(part) });
      const base = await fetch('/models/base');
      await bitx.restore({ base, delta, output });
      return { modes: [before, bitx.mode], digest: await sha256(new Blob(parts)), threads: bitx.threads };
    });
    assert.deepEqual(result, { modes: ['pool', 'single'], digest: models.sha256, threads: 1 });
  });
}

test('a call completes although the workers that began its file died', async (t) => {
  const { page } = await site(t, { workerUrl: '/broken/dying-members.js' });
  const result = await page.evaluate(async () => {
    const folder = await navigator.storage.getDirectory();
    const output = await folder.getFileHandle('model', { create: true });
    await bitx.restore({ base, delta, output });
    const names = await Array.fromAsync(folder.keys());
    return { names, digest: await sha256(await output.getFile()), mode: bitx.mode };
  });
  assert.deepEqual(result, { names: ['model'], digest: models.sha256, mode: 'single' });
});
