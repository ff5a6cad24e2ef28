/** Restores between private files, which the workers that compute open themselves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { largeModels } from './large-models.mjs';
import { environment, patient } from './support.mjs';

const env = environment();
/** 64 MiB, which makes 16 windows. */
const { models, site: openSite } = largeModels(env, 8);

/** Opens a page with the base and the delta as private files. */
async function site(t, options) {
  const { page } = await openSite(t, options);
  await page.evaluate(prepare);
  return page;
}

/** Runs in the page. */
async function prepare() {
  const folder = await navigator.storage.getDirectory();
  const file = (name) => folder.getFileHandle(name, { create: true });
  const stored = async (name, blob) => {
    const handle = await file(name);
    await blob.stream().pipeTo(await handle.createWritable());
    return handle;
  };
  /** Repeats an action on a file until no worker has it open. */
  const unlocked = async (action) => {
    for (let tries = 100; ; tries--) {
      try {
        return await action();
      } catch (error) {
        if (!tries || error.name !== 'NoModificationAllowedError') throw error;
        await sleep(20);
      }
    }
  };
  Object.assign(globalThis, {
    inputs: {
      base: await stored('base', await (await fetch(base)).blob()),
      delta: await stored('delta', delta),
    },
    output: await file('model'),
    folder,
    unlocked,
    names: async () => (await Array.fromAsync(folder.keys())).sort(),
    /** Removes all files, which fails if a handle is open. */
    clear: async () => {
      for (const name of await names()) await folder.removeEntry(name, { recursive: true });
    },
  });
}

const NAMES = ['base', 'delta', 'model'];

for (const [what, options] of [
  ['threads', { isolated: true }],
  ['pool', { isolated: false }],
  ['single', { isolated: true, threads: 1 }],
  ['pool', { isolated: false, workerUrl: '/broken/no-modes.js' }],
]) {
  test(`from file to file, as a Blob and as a stream: ${JSON.stringify(options)}`, async (t) => {
    const page = await site(t, options);
    const found = await page.evaluate(async () => {
      let stats;
      const onStats = (measured) => {
        stats = measured;
      };
      await bitx.restore({ ...inputs, output, onStats });
      const after = await names();
      const digests = [await sha256(await output.getFile()), await sha256(await bitx.restore(inputs))];
      const { response } = await bitx.restoreStream(inputs);
      digests.push(await sha256(await response().blob()));
      await clear();
      return { after, digests, mode: bitx.mode, wasmBytes: stats.wasmBytes, names: await names() };
    });
    const { wasmBytes, ...others } = found;
    const digests = new Array(3).fill(models.sha256);
    assert.deepEqual(others, { after: NAMES, digests, mode: what, names: [] });
    assert.ok(wasmBytes < 64 << 20, `${wasmBytes} bytes`);
  });
}

test('the bytes of private files do not pass through Blobs', async (t) => {
  const page = await site(t, { isolated: false, workerUrl: '/broken/counting-reads.js' });
  const reads = await page.evaluate(async () => {
    const reads = [];
    const channel = new BroadcastChannel('reads');
    channel.onmessage = ({ data }) => reads.push(data);
    await bitx.restore({ ...inputs, output });
    await sleep(200);
    return reads;
  });
  assert.deepEqual(reads, []);
});

test('a file of the model cache is read in place, and can be deleted afterwards', async (t) => {
  const page = await site(t, { isolated: false, workerUrl: '/broken/counting-reads.js' });
  const found = await page.evaluate(async () => {
    const { ModelCache } = await import('/bitx/cache.js');
    const cache = await ModelCache.open({ name: 'direct', backend: 'opfs' });
    const cached = await cache.put('bitx:base', await inputs.base.getFile());
    const reads = [];
    const channel = new BroadcastChannel('reads');
    channel.onmessage = ({ data }) => reads.push(data);
    await bitx.restore({ base: cached, delta: inputs.delta, output });
    await sleep(200);
    const deleted = await cache.delete('bitx:base');
    cache.close();
    return { reads, deleted, digest: await sha256(await output.getFile()) };
  });
  assert.deepEqual(found, { reads: [], deleted: true, digest: models.sha256 });
});

for (const isolated of [true, false]) {
  test(`a model may replace its base, isolated: ${isolated}`, async (t) => {
    const page = await site(t, { isolated });
    const found = await page.evaluate(async () => {
      await bitx.restore({ ...inputs, output: inputs.base });
      return { names: await names(), digest: await sha256(await inputs.base.getFile()) };
    });
    assert.deepEqual(found, { names: NAMES, digest: models.sha256 });
  });

  test(`handles are closed after failures and aborts, isolated: ${isolated}`, async (t) => {
    const page = await site(t, { isolated });
    const found = await page.evaluate(async () => {
      const codes = [await codeOf(bitx.restore({ ...inputs, delta: await damaged(), output }))];
      const stop = new AbortController();
      const onProgress = ({ loaded, total }) => loaded > total / 2 && stop.abort();
      codes.push(await codeOf(bitx.restore({ ...inputs, output, signal: stop.signal, onProgress })));
      const before = await names();
      await clear();
      return { codes, before };
    });
    assert.deepEqual(found, { codes: ['corrupt', 'aborted'], before: NAMES });
  });

  test(`another tab deletes a file in the middle, isolated: ${isolated}`, async (t) => {
    const page = await site(t, { isolated });
    await page.evaluate(async () => {
      globalThis.restored = await bitx.restoreStream(inputs);
    });
    const tab = patient(await page.context().newPage());
    await tab.goto(page.url());
    await tab.evaluate(async () => {
      const folder = await navigator.storage.getDirectory();
      for (let tries = 100; ; tries--) {
        const error = await folder.removeEntry('base').catch((thrown) => thrown);
        if (!error) return;
        if (!tries || error.name !== 'NoModificationAllowedError') throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
    const found = await page.evaluate(async () => {
      const { code, file } = await failure(drained(restored));
      await clear();
      return { code, file };
    });
    assert.deepEqual(found, { code: 'io', file: 'base' });
  });

  test(`the quota ends, isolated: ${isolated}`, async (t) => {
    const page = await site(t, { isolated });
    const cdp = await page.context().newCDPSession(page);
    const { usage } = await page.evaluate(() => navigator.storage.estimate());
    const { origin } = new URL(page.url());
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage + (8 << 20) });
    const found = await page.evaluate(async () => ({
      code: await codeOf(bitx.restore({ ...inputs, output })),
      names: await names(),
      size: (await output.getFile()).size,
    }));
    assert.deepEqual(found, { code: 'io', names: NAMES, size: 0 });
    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    const digest = await page.evaluate(async () => {
      await bitx.restore({ ...inputs, output });
      return sha256(await output.getFile());
    });
    assert.equal(digest, models.sha256);
  });

  test(`workers die between windows, isolated: ${isolated}`, async (t) => {
    const page = await site(t, { isolated, workerUrl: '/broken/ending-members.js' });
    const found = await page.evaluate(async () => {
      const before = bitx.mode;
      await bitx.restore({ ...inputs, output });
      const digest = await sha256(await output.getFile());
      const left = await names();
      await unlocked(clear);
      return { modes: [before, bitx.mode], digest, left };
    });
    const modes = isolated ? ['threads', 'single'] : ['pool', 'single'];
    assert.deepEqual(found, { modes, digest: models.sha256, left: NAMES });
  });
}

test('two calls that write the same file do not mix their bytes', async (t) => {
  const page = await site(t, { isolated: false });
  const found = await page.evaluate(async () => {
    const { Bitx } = await import('/bitx/index.js');
    const other = await Bitx.create({ threads: 2 });
    const calls = [bitx, other].map((one) => one.restore({ ...inputs, output }));
    const codes = (await Promise.allSettled(calls)).map(({ reason }) => reason?.code);
    other.dispose();
    return { codes, names: await names(), digest: await sha256(await output.getFile()) };
  });
  assert.ok(
    found.codes.some((code) => code === undefined) &&
      found.codes.every((code) => [undefined, 'io'].includes(code)),
  );
  assert.deepEqual([found.names, found.digest], [NAMES, models.sha256]);
});
