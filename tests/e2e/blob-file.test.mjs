/** Blobs that are private files, and what becomes of these files. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { largeModels } from './large-models.mjs';
import { environment, patient } from './support.mjs';

const env = environment();
/** 64 MiB, which makes 16 windows. */
const { models, site: openSite } = largeModels(env, 8);

async function site(t, options) {
  const { page } = await openSite(t, options);
  await page.evaluate(prepare);
  return page;
}

/** Runs in the page. */
async function prepare() {
  const { Bitx } = await import('/bitx/index.js');
  Object.assign(globalThis, {
    Bitx: globalThis.Bitx ?? Bitx,
    /** The names of the files that are handed out as Blobs. */
    files: async () => {
      try {
        let folder = await navigator.storage.getDirectory();
        for (const name of ['bitx-wasm', 'blobs']) folder = await folder.getDirectoryHandle(name);
        return await Array.fromAsync(folder.keys());
      } catch (error) {
        if (error.name === 'NotFoundError') return [];
        throw error;
      }
    },
    /** Waits until there are so many of them. */
    filesAre: async (count) => {
      for (let tries = 100; (await files()).length !== count; tries--) {
        if (!tries) throw new Error(`there are ${await files()}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
  });
}

for (const [mode, options] of [
  ['threads', { isolated: true }],
  ['pool', { isolated: false }],
  ['single', { isolated: true, threads: 1 }],
  ['pool', { isolated: false, workerUrl: '/broken/no-modes.js' }],
]) {
  test(`a Blob is a private file: ${JSON.stringify(options)}`, async (t) => {
    const page = await site(t, options);
    const found = await page.evaluate(async () => {
      const blob = await bitx.restore({ base, delta });
      const part = blob.slice(1, 100);
      const [{ mode }, one] = [bitx, await files()];
      const other = await bitx.restore({ base, delta });
      const { length } = await files();
      // The Blob outlives the engine.
      bitx.dispose();
      await Bitx.create({ threads: 2 });
      const digests = [await sha256(blob), await sha256(other)];
      return {
        file: blob instanceof File,
        mode,
        one: one.length,
        length,
        digests,
        part: (await bytes(part)).length,
      };
    });
    const digests = [models.sha256, models.sha256];
    assert.deepEqual(found, { file: true, mode, one: 1, length: 2, digests, part: 99 });
  });
}

test('short outputs, and those of workers and frames, stay in memory', async (t) => {
  const page = await site(t);
  const found = await page.evaluate(async () => {
    const inputs = { base: '/vectors/base-bf16.safetensors', delta: '/vectors/sft-bf16.v2.bitx' };
    const short = await bitx.restore(inputs);
    const tensor = await bitx.readTensor({ base, delta, name: 'layers.1.weight' });
    const frame = document.createElement('iframe');
    frame.src = location.href;
    const loaded = new Promise((resolve) => {
      frame.onload = resolve;
    });
    document.body.append(frame);
    await loaded;
    const run = `(async () => {
      const { Bitx } = await import('/bitx/index.js');
      const bitx = await Bitx.create({ threads: 2 });
      return bitx.restore({ base: '/models/base', delta: '/models/delta' });
    })()`;
    const inFrame = await frame.contentWindow.eval(run);
    const script = `onmessage = async () => postMessage(await ${run.replaceAll("'/", `'${location.origin}/`)});`;
    const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })));
    const inWorker = await new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.postMessage(0);
    });
    const blobs = [short, inFrame, inWorker].map((blob) => Object.prototype.toString.call(blob));
    return { blobs, tensor: tensor.length, digest: await sha256(inWorker), files: await files() };
  });
  const blobs = new Array(3).fill('[object Blob]');
  assert.deepEqual(found, { blobs, tensor: 8 << 20, digest: models.sha256, files: [] });
});

test('a page removes the files of earlier pages, and no others', async (t) => {
  const page = await site(t);
  await page.evaluate(async () => {
    globalThis.kept = await bitx.restore({ base, delta });
  });
  const open = async () => {
    const tab = patient(await page.context().newPage());
    await tab.goto(page.url());
    await tab.evaluate(prepare);
    return tab;
  };
  const tab = await open();
  await tab.evaluate(async () => {
    globalThis.bitx = await Bitx.create({ threads: 2 });
    const delta = await (await fetch('/models/delta')).blob();
    globalThis.blob = await bitx.restore({ base: '/models/base', delta });
    await filesAre(2);
  });
  await tab.close();
  const third = await open();
  await third.evaluate(async () => {
    globalThis.bitx = await Bitx.create({ threads: 2 });
    await filesAre(1);
  });
  assert.equal(await page.evaluate(() => sha256(kept)), models.sha256);
  await page.reload();
  await third.evaluate(async () => {
    bitx.dispose();
    await Bitx.create({ threads: 2 });
    await filesAre(0);
  });
});

for (const isolated of [true, false]) {
  test(`nothing is left after failures and aborts, isolated: ${isolated}`, async (t) => {
    const page = await site(t, { isolated });
    const found = await page.evaluate(async () => {
      const codes = [await codeOf(bitx.restore({ base, delta: await damaged() }))];
      const stop = new AbortController();
      const onProgress = ({ loaded, total }) => loaded > total / 2 && stop.abort();
      codes.push(await codeOf(bitx.restore({ base, delta, signal: stop.signal, onProgress })));
      return { codes, files: await files() };
    });
    assert.deepEqual(found, { codes: ['corrupt', 'aborted'], files: [] });
  });

  test(`without space for a file, a Blob stays in memory, isolated: ${isolated}`, async (t) => {
    const page = await site(t, { isolated });
    const cdp = await page.context().newCDPSession(page);
    const { usage } = await page.evaluate(() => navigator.storage.estimate());
    const { origin } = new URL(page.url());
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage + (8 << 20) });
    const found = await page.evaluate(async () => {
      const blob = await bitx.restore({ base, delta });
      return { file: blob instanceof File, digest: await sha256(blob), files: await files() };
    });
    assert.deepEqual(found, { file: false, digest: models.sha256, files: [] });
  });

  test(`workers die between windows, isolated: ${isolated}`, async (t) => {
    const page = await site(t, { isolated, workerUrl: '/broken/ending-members.js' });
    const found = await page.evaluate(async () => {
      const blob = await bitx.restore({ base, delta });
      return { file: blob instanceof File, digest: await sha256(blob), mode: bitx.mode };
    });
    assert.deepEqual(found, { file: true, digest: models.sha256, mode: 'single' });
  });
}

test('a page without private files gets a Blob in memory', async (t) => {
  const page = await site(t, { workerUrl: '/broken/no-storage.js' });
  const found = await page.evaluate(async () => {
    const blob = await bitx.restore({ base, delta });
    return { file: blob instanceof File, digest: await sha256(blob) };
  });
  assert.deepEqual(found, { file: false, digest: models.sha256 });
});
