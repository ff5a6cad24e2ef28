/**
 * Restores a model of any size in headless Chromium, from ranges over HTTP to a stream and to a
 * private file, and measures the memory:
 *
 *     npm run soak:browser --
 *         [--gb 4.5] [--threads N] [--mode M] [--bitx PATH] [--folder DIR] [--json]
 *
 * 1 MB is 10^6 bytes. This process hashes the restored bytes, which slows down a restore to a
 * stream (`hash`).
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { launchProfile } from './lib/browser.mjs';
import { packageDist, root } from './lib/paths.mjs';
import { serve } from './lib/server.mjs';
import { HeapMeter } from './soak/heap-meter.mjs';
import { makeModels } from './soak/make-models.mjs';

const MAX_WASM_BYTES = 256 << 20;
const MAX_HEAP_BYTES = 100e6;

const { values } = parseArgs({
  options: {
    gb: { type: 'string', default: '4.5' },
    threads: { type: 'string', default: '2' },
    mode: { type: 'string', default: 'threads' },
    bitx: { type: 'string', default: join(root, 'target', 'release', 'bitx') },
    folder: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
});

const folder = await mkdtemp(join(values.folder, 'bitx-soak-'));
try {
  const models = await makeModels(folder, Number(values.gb) * 1e9, values.bitx);
  const results = await soak(models);
  const bad = results.filter((result) => !sound(result, models));
  if (bad.length > 0)
    throw new Error(`wrong bytes, or more memory than permitted: ${bad.map(({ to }) => to).join(', ')}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function soak({ base, delta, size }) {
  const hashes = new Map();
  const blank = (_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>');
  /** Receives the restored bytes in parts, and returns their digest on request. */
  const digest = async (request, response) => {
    const hash = hashes.get(request.url) ?? createHash('sha256');
    hashes.set(request.url, hash);
    if (request.method === 'GET') return response.end(hash.digest('hex'));
    for await (const part of request) hash.update(part);
    response.end();
  };
  const mounts = { '/': blank, '/bitx/': packageDist, '/base': base, '/delta': delta, '/digest/': digest };
  const { server, address } = await serve({ mounts });
  // A profile on disk, since a private window would store files in memory and have less space.
  const browser = await launchProfile(join(folder, 'profile'));
  try {
    const results = [];
    for (const to of ['nowhere', 'hash', 'file']) {
      const page = await browser.newPage();
      page.setDefaultTimeout(0);
      await page.goto(address);
      const meter = await HeapMeter.start(page);
      const { threads, mode } = values;
      const measured = await page.evaluate(restoreTo, { to, mode, threads: Number(threads) });
      const heap = meter.stop();
      const sha256 = to === 'file' ? await page.evaluate(digestOfFile) : measured.sha256;
      const result = {
        ...measured,
        to,
        size,
        sha256,
        heap_peak_bytes: heap,
        restore_mb_s: size / 1e6 / measured.seconds,
      };
      report(result);
      results.push(result);
      await page.close();
    }
    return results;
  } finally {
    await browser.close();
    server.close();
  }
}

/** Runs in the page, so it cannot use anything outside itself. */
async function restoreTo({ to, mode, threads }) {
  const { Bitx } = await import('/bitx/index.js');
  const bitx = await Bitx.create({ mode, threads });
  // Each part is freed as soon as it was sent. Otherwise the browser would let garbage add up to 65
  // MB and more.
  const send = async (part) => {
    const body = new Blob([part]);
    part.buffer.transfer(0);
    await fetch('/digest/hash', { method: 'POST', body });
  };
  const outputs = {
    nowhere: async () => new WritableStream({ write: ({ buffer }) => void buffer.transfer(0) }),
    hash: async () => new WritableStream({ write: send }),
    file: async () => (await navigator.storage.getDirectory()).getFileHandle('model', { create: true }),
  };
  const output = await outputs[to]();
  let stats;
  const onStats = (measured) => {
    stats = measured;
  };
  const begun = performance.now();
  await bitx.restore({ base: '/base', delta: '/delta', output, onStats });
  const seconds = (performance.now() - begun) / 1000;
  bitx.dispose();
  return {
    mode: bitx.mode,
    threads: stats.threads,
    seconds,
    decode_mb_s: stats.modelBytes / 1e6 / stats.codecSeconds,
    wasm_bytes: stats.wasmBytes,
    outputBytes: stats.outputBytes,
    ...(to === 'hash' && { sha256: await (await fetch('/digest/hash')).text() }),
  };
}

async function digestOfFile() {
  const folder = await navigator.storage.getDirectory();
  const file = await (await folder.getFileHandle('model')).getFile();
  const step = 16 << 20;
  for (let at = 0; at < file.size; at += step) {
    await fetch('/digest/file', { method: 'POST', body: file.slice(at, at + step) });
  }
  await folder.removeEntry('model');
  return (await fetch('/digest/file')).text();
}

function sound({ to, sha256, outputBytes, wasm_bytes, heap_peak_bytes }, models) {
  const same = outputBytes === models.size && (to === 'nowhere' || sha256 === models.sha256);
  return same && wasm_bytes < MAX_WASM_BYTES && heap_peak_bytes < MAX_HEAP_BYTES;
}

/** Prints a result, as text or as JSON. */
function report(result) {
  if (values.json) return console.log(JSON.stringify({ ...result, outputBytes: undefined }));
  const { to, mode, threads, size, seconds, sha256 } = result;
  const { restore_mb_s, decode_mb_s, wasm_bytes, heap_peak_bytes } = result;
  const mb = (bytes) => `${Math.round(bytes / 1e6)} MB`;
  console.log(
    `to ${to.padEnd(8)} ${mb(size)} in ${seconds.toFixed(1)} s: ${Math.round(restore_mb_s)} MB/s, in the codec ` +
      `${Math.round(decode_mb_s)} MB/s; wasm ${mb(wasm_bytes)}, heaps ${mb(heap_peak_bytes)}, ${mode}, ` +
      `${threads} threads${sha256 ? `, ${sha256}` : ''}`,
  );
}
