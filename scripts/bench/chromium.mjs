/** The built package in headless Chromium, Blob in to Blob out. */
import { launch } from '../lib/browser.mjs';
import { packageDist } from '../lib/paths.mjs';
import { serve } from '../lib/server.mjs';

/** Medians over the runs that follow one warm-up; MB are 10^6 bytes of the restored file. */
export async function measureInChromium({ base, delta, threads, runs }) {
  const blank = (_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>');
  const mounts = { '/': blank, '/bitx/': packageDist, '/base': base, '/delta': delta };
  const { server, address } = await serve({ mounts });
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.goto(address);
    return {
      engine: `chromium ${browser.version()}`,
      ...(await page.evaluate(measure, { threads, runs })),
    };
  } finally {
    await browser.close();
    server.close();
  }
}

/** Runs in the page, so it can use nothing from outside of itself. */
async function measure({ threads, runs }) {
  const { Bitx } = await import('/bitx/index.js');
  const fetchBlob = async (path) => (await fetch(path)).blob();
  const [base, delta] = await Promise.all(['/base', '/delta'].map(fetchBlob));
  const bitx = await Bitx.create(threads === undefined ? {} : { threads });
  const { version } = await bitx.inspect(delta);
  const samples = [];
  let model;
  for (let run = 0; run <= runs; run++) {
    let stats;
    const begun = performance.now();
    model = await bitx.restore({
      base,
      delta,
      onStats: (measured) => {
        stats = measured;
      },
    });
    const seconds = (performance.now() - begun) / 1000;
    if (run > 0) samples.push({ decode: stats.codecSeconds, restore: seconds, memory: stats.wasmBytes });
  }
  const median = (key) => {
    const sorted = samples.map((sample) => sample[key]).sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  };
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await model.arrayBuffer()));
  return {
    mode: bitx.mode,
    version,
    threads: bitx.threads,
    decode_mb_s: model.size / 1e6 / median('decode'),
    restore_mb_s: model.size / 1e6 / median('restore'),
    wasm_peak_bytes: Math.max(...samples.map(({ memory }) => memory)),
    sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join(''),
  };
}
