import { packageDist } from './paths.mjs';
import { run } from './run.mjs';
import { WASM_BUILDS } from './toolchain.mjs';

/** What each part of the package may weigh, in bytes as they are, uncompressed. */
const SCRIPTS = [
  { files: ['index.js', 'worker.js'], most: 30_000 },
  // An entry point of its own. 34 KB of it are the digests, which are wasm for the most part.
  { files: ['cache.js', 'cache-worker.js'], most: 72_000 },
  // Besides those of the cache. 21 KB of it are BLAKE3.
  { files: ['hub.js', 'hub-worker.js'], most: 42_000 },
  // Besides worker.js; 4 KB are the storage of the cache.
  { files: ['node.js', 'node-worker.js', 'node-files.js'], most: 18_000 },
  // Besides cache-worker.js.
  { files: ['node-cache.js'], most: 12_000 },
  // It computes in the service worker itself, so it has most of worker.js once more.
  { files: ['service-worker.js'], most: 20_000 },
  { files: ['transformers.js'], most: 1000 },
  // Besides the cache's scripts.
  { files: ['service-worker-cache.js'], most: 500 },
];
const WASM = Object.values(WASM_BUILDS).map(({ file, maxBytes }) => ({ files: [file], most: maxBytes }));

/** The configuration of size-limit, which reads it from `.size-limit.mjs`. */
export const limits = [...WASM, ...SCRIPTS].map(({ files, most }) => ({
  name: files.join(' + '),
  path: files.map((file) => `${packageDist}/${file}`),
  limit: `${most} B`,
  brotli: false,
}));

/** Fails if anything that a page downloads has outgrown its budget. */
export function checkSizes() {
  return run('size-limit', []);
}
