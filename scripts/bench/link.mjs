/**
 * Measures the time to get a fine-tune over a slow link, by its delta and by downloading it, in
 * headless Chromium with the base in the model cache:
 *
 *     npm run bench:link -- --base F --delta F
 *         [--mbit N] [--rtt MS] [--threads N] [--rounds K] [--json]
 *
 * Only the delta or the fine-tune is sent over the link. For `first use`, the scripts and the wasm
 * are too.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { withProfile } from '../lib/browser.mjs';
import { packageDist } from '../lib/paths.mjs';
import { rangeOf, serve } from '../lib/server.mjs';

/** The number of bytes sent at once. */
const PIECE = 1 << 14;
/** The delay of late timers that the link makes up for, in milliseconds. */
const LATE_MS = 20;

/** A simulated link of fixed speed, which all responses share. */
class Link {
  #bytesPerMs;
  #rtt;
  #free = 0;

  constructor({ mbit, rtt }) {
    this.#bytesPerMs = (mbit * 1e6) / 8 / 1000;
    this.#rtt = rtt;
  }

  async send(response, bytes) {
    if (this.#rtt > 0) await sleep(this.#rtt);
    response.flushHeaders();
    for (let at = 0; at < bytes.length && !response.destroyed; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      const now = performance.now();
      this.#free = Math.max(this.#free, now - LATE_MS) + piece.length / this.#bytesPerMs;
      if (this.#free > now + 1) await sleep(this.#free - now);
      if (!response.write(piece)) await new Promise((resolve) => response.once('drain', resolve));
    }
    response.end();
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Returns a request handler that sends bytes, or a range of them, over the link. */
function over(link, content, type = 'application/octet-stream') {
  return async (request, response) => {
    const bytes = typeof content === 'function' ? content(request) : content;
    const range = rangeOf(request.headers.range, bytes.length);
    const { start, end } = range ?? { start: 0, end: bytes.length };
    response.writeHead(range ? 206 : 200, {
      'content-type': typeof type === 'function' ? type(request) : type,
      'content-length': end - start,
      etag: '"1"',
      ...(range && { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }),
    });
    await link.send(response, bytes.subarray(start, end));
  };
}

/**
 * Measures the rounds after one warm-up, and returns medians in seconds, and medians of the ratios
 * of each round.
 */
async function measure({ base, delta, mbit, rtt, threads, rounds }) {
  const link = new Link({ mbit, rtt });
  const archive = readFileSync(delta);
  const pathOf = ({ url }) => new URL(url, 'http://localhost').pathname;
  const blank = (_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>');
  const mounts = {
    '/': blank,
    '/base': base,
    '/bitx/': packageDist,
    '/link/delta': over(link, archive),
    // The download is as long as the fine-tune; its content does not matter.
    '/link/model': over(link, (request) =>
      Buffer.alloc(Number(new URL(request.url, 'http://x').searchParams.get('size')), 1),
    ),
    '/link/bitx/': over(
      link,
      (request) => readFileSync(`${packageDist}/${pathOf(request).slice('/link/bitx/'.length)}`),
      (request) => (pathOf(request).endsWith('.wasm') ? 'application/wasm' : 'text/javascript'),
    ),
  };
  const { server, address } = await serve({ mounts });
  try {
    return await withProfile(async (context) => {
      const page = await context.newPage();
      await page.goto(address);
      const found = await page.evaluate(inPage, { threads, rounds });
      const engine = `chromium ${context.browser().version()}`;
      return { engine, mbit, rtt, deltaBytes: archive.length, ...found };
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Runs in the page, so it cannot use anything outside itself. */
async function inPage({ threads, rounds }) {
  const { Bitx } = await import('/bitx/index.js');
  const { ModelCache } = await import('/bitx/cache.js');
  const options = threads === undefined ? {} : { threads };
  const cache = await ModelCache.open({ name: 'link' });
  const base = await cache.fetch('/base');
  const readAll = async (stream) => {
    const reader = stream.getReader();
    let bytes = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) bytes += part.value.length;
    return bytes;
  };
  const timed = async (action) => {
    const begun = performance.now();
    const bytes = await action();
    return { seconds: (performance.now() - begun) / 1000, bytes };
  };
  const bitx = await Bitx.create(options);
  const restore = async (by) => readAll((await by.restoreStream({ base, delta: '/link/delta' })).stream);
  const firstUse = async (round) => {
    // A new URL each time, as if the page had never been visited.
    const { Bitx } = await import(`/link/bitx/index.js?${round}`);
    const fresh = await Bitx.create({
      ...options,
      wasmUrl: '/link/bitx/',
      workerUrl: `/link/bitx/worker.js?${round}`,
    });
    const bytes = await restore(fresh);
    fresh.dispose();
    return bytes;
  };
  const samples = [];
  for (let round = 0; round <= rounds; round++) {
    const restored = await timed(() => restore(bitx));
    const first = await timed(() => firstUse(round));
    const size = restored.bytes;
    const download = await timed(async () => readAll((await fetch(`/link/model?size=${size}`)).body));
    if (download.bytes !== size || first.bytes !== size)
      throw new Error('the downloads and restored models differ in length');
    if (round > 0)
      samples.push({ size, restore: restored.seconds, first: first.seconds, download: download.seconds });
  }
  const median = (of) => {
    const sorted = samples.map(of).sort((a, b) => a - b);
    return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
  };
  const range = (of) => {
    const sorted = samples.map(of).sort((a, b) => a - b);
    return [sorted[0], sorted.at(-1)].map((value) => value.toFixed(1)).join(' to ');
  };
  const sooner = ({ download, restore }) => download / restore;
  return {
    mode: bitx.mode,
    threads: bitx.threads,
    modelBytes: samples[0].size,
    download_s: median(({ download }) => download),
    restore_s: median(({ restore }) => restore),
    first_use_s: median(({ first }) => first),
    times_sooner: median(sooner),
    times_sooner_rounds: range(sooner),
    times_sooner_first_use: median(({ download, first }) => download / first),
  };
}

const { values } = parseArgs({
  options: {
    base: { type: 'string' },
    delta: { type: 'string' },
    mbit: { type: 'string', default: '100' },
    rtt: { type: 'string', default: '0' },
    threads: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
if (!values.base || !values.delta) {
  console.error(
    'usage: npm run bench:link -- --base F --delta F [--mbit N] [--rtt MS] [--threads N] [--rounds K] [--json]',
  );
  process.exit(2);
}
const [mbit, rtt, rounds] = [values.mbit, values.rtt, values.rounds].map(Number);
const threads = values.threads === undefined ? undefined : Number(values.threads);
const result = await measure({ base: values.base, delta: values.delta, mbit, rtt, threads, rounds });
if (values.json) console.log(JSON.stringify(result));
else {
  for (const [name, value] of Object.entries(result)) {
    const shown = typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(3) : value;
    console.log(`${name.padEnd(24)} ${shown}`);
  }
}
