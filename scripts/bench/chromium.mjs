/** Measurements of the built package in headless Chromium. */
import { withProfile } from '../lib/browser.mjs';
import { packageDist } from '../lib/paths.mjs';
import { serve } from '../lib/server.mjs';
import { summary } from './figures.mjs';

/**
 * Measures all modes in turns, in rounds after a warm-up. Returns a row for each mode, with
 * medians. 1 MB is 10^6 bytes of the restored file.
 *
 * - `decode_mb_s`: inside the codec
 * - `restore_mb_s`: from Blob to Blob
 * - `stream_mb_s`: from private files to a stream that discards its input
 * - `file_mb_s`: from private files to a private file
 * - `written_mb_s`: only writing the model's bytes to a private file
 */
export function measureInChromium({ base, delta, threads, runs, modes }) {
  return measurePackages({ base, packages: [{ dist: packageDist, delta }], threads, runs, modes });
}

/**
 * Measures several builds of the package in one page, each with an archive of its own, as
 * `measureInChromium` does. The field `index` of a row is that of its package.
 */
export async function measurePackages({ base, packages, threads, runs, modes }) {
  const mounts = { '/': blank, '/base': base };
  for (const [index, { dist, delta }] of packages.entries())
    Object.assign(mounts, { [`/bitx-${index}/`]: dist, [`/delta-${index}`]: delta });
  const count = packages.length;
  return withPage({ mounts }, async (page, context) => {
    await page.evaluate(prepare, count);
    const measured = await page.evaluate(measure, { count, threads, runs, modes });
    const engine = `chromium ${context.browser().version()}`;
    return measured.map(({ samples, ...row }) => ({ engine, ...row, samples, ...medians(samples) }));
  });
}

/** Calls `action` with a page that `mounts` serve, in a browser whose profile is on the disk. */
export async function withPage(served, action) {
  const { server, address } = await serve(served);
  try {
    return await withProfile(async (context) => {
      const page = await context.newPage();
      await page.goto(address);
      return await action(page, context);
    });
  } finally {
    server.close();
  }
}

/** Answers with an empty page. */
export function blank(_, response) {
  response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>');
}

function medians(samples) {
  return Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, summary(values).median]));
}

/** Runs in the page: prepares the files and functions that `measure` uses. */
async function prepare(count) {
  const folder = await navigator.storage.getDirectory();
  const file = (name) => folder.getFileHandle(name, { create: true });
  const names = ['base', ...Array.from({ length: count }, (_, index) => `delta-${index}`)];
  const [base, ...deltas] = await Promise.all(
    names.map(async (name) => {
      const handle = await file(name);
      const blob = await (await fetch(`/${name}`)).blob();
      await blob.stream().pipeTo(await handle.createWritable());
      return { blob, handle };
    }),
  );
  const script = `
    onmessage = async ({ data: { handle, bytes } }) => {
      const begun = performance.now();
      const access = await handle.createSyncAccessHandle();
      access.truncate(0);
      for (let at = 0; at < bytes.length; at += 1 << 24) access.write(bytes.subarray(at, at + (1 << 24)), { at });
      access.flush();
      access.close();
      postMessage(performance.now() - begun);
    };`;
  const writer = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })));
  /** Writes a model to a private file, and returns the seconds it took. */
  const write = async (model) => {
    const bytes = new Uint8Array(await model.arrayBuffer());
    writer.postMessage({ handle: await file('plain'), bytes }, [bytes.buffer]);
    return new Promise((resolve) => {
      writer.onmessage = ({ data }) => resolve(data / 1000);
    });
  };
  const seconds = async (action) => {
    const begun = performance.now();
    await action();
    return (performance.now() - begun) / 1000;
  };
  Object.assign(globalThis, { base, deltas, file, write, seconds });
}

/** Runs in the page: measures all modes and returns a row for each. */
async function measure({ count, threads, runs, modes }) {
  const rows = [];
  for (let index = 0; index < count; index++) {
    const { Bitx } = await import(`/bitx-${index}/index.js`);
    for (const wanted of modes) {
      const bitx = await Bitx.create({ mode: wanted, ...(threads && { threads }) });
      const { version } = await bitx.inspect(deltas[index].blob);
      const { mode, threads: used } = bitx;
      rows.push({
        bitx,
        row: { index, wanted, mode, version, threads: used, wasm_peak_bytes: 0, samples: {} },
      });
    }
  }
  const round = async ({ bitx, row }) => {
    let model;
    let stats;
    const onStats = (measured) => {
      stats = measured;
    };
    const delta = deltas[row.index];
    const stored = { base: base.handle, delta: delta.handle };
    const restore = await seconds(async () => {
      model = await bitx.restore({ base: base.blob, delta: delta.blob, onStats });
    });
    const output = await file(`${row.wanted}-restored`);
    const times = {
      decode_mb_s: stats.codecSeconds,
      restore_mb_s: restore,
      stream_mb_s: await seconds(() => bitx.restore({ ...stored, output: new WritableStream({}) })),
      file_mb_s: await seconds(() => bitx.restore({ ...stored, output })),
      written_mb_s: await write(model),
    };
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await model.arrayBuffer()));
    row.sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
    row.wasm_peak_bytes = Math.max(row.wasm_peak_bytes, stats.wasmBytes);
    return Object.entries(times).map(([name, time]) => [name, model.size / 1e6 / time]);
  };
  for (let run = 0; run <= runs; run++) {
    for (const one of rows) {
      const speeds = await round(one);
      // The first round is a warm-up.
      if (run === 0) continue;
      const { samples } = one.row;
      for (const [name, speed] of speeds) samples[name] = [...(samples[name] ?? []), speed];
    }
  }
  for (const { bitx } of rows) bitx.dispose();
  return rows.map(({ row }) => row);
}
