import { statSync } from 'node:fs';
import { join } from 'node:path';
import { packageDist } from './paths.mjs';
import { WASM_BUILDS } from './toolchain.mjs';

const MAX_JS_BYTES = 30_000;
/** The cache, an entry point of its own. 34 KB of it are the digests, which are wasm for the most part. */
const MAX_CACHE_BYTES = 72_000;

/** Fails if anything that a page downloads has outgrown its budget. */
export async function checkSizes() {
  const budgets = Object.values(WASM_BUILDS).map(({ file, maxBytes }) => [[file], maxBytes]);
  const scripts = [
    [['index.js', 'worker.js'], MAX_JS_BYTES],
    [['cache.js', 'cache-worker.js'], MAX_CACHE_BYTES],
  ];
  const results = [...budgets, ...scripts].map(([files, most]) => {
    const size = files.reduce((sum, file) => sum + statSync(join(packageDist, file)).size, 0);
    console.log(`${files.join(' + ').padEnd(28)} ${String(size).padStart(7)} of ${most} bytes`);
    return size <= most;
  });
  if (results.includes(false)) throw new Error('over budget');
}
