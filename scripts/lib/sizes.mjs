import { packageDist } from './paths.mjs';
import { run } from './run.mjs';

/**
 * The maximum size of each part of the package in bytes, as servers send it: compressed by gzip at
 * level 9. A user waits for the parts of a first restore and for the wasm. The limits of the others
 * are about 4 % above their size when the limits were set, so that growth is noticed and bugs can
 * still be fixed.
 */
const BUDGETS = [
  // The parts of a first restore.
  { files: ['index.js', 'common.js', 'worker.js'], most: 19_300 },
  // Node's zlib, which size-limit uses, takes 0.7 % more than the program gzip.
  { files: ['bitx-restore.wasm'], most: 169_300 },
  { files: ['bitx-restore-threads.wasm'], most: 185_200 },
  { files: ['bitx-compress.wasm'], most: 388_700 },
  { files: ['bitx-compress-threads.wasm'], most: 405_500 },
  // Besides common.js. Two thirds are the hash functions, which are wasm in base64.
  { files: ['cache.js', 'cache-worker.js'], most: 28_700 },
  // Besides the parts of a first restore.
  { files: ['folder.js'], most: 3_700 },
  { files: ['node-folder.js'], most: 4_300 },
  // Besides common.js and the cache's scripts. Half of it is BLAKE3.
  { files: ['hub.js', 'hub-worker.js'], most: 17_600 },
  // Besides worker.js and common.js, which Node's threads run as browsers' workers do.
  { files: ['node.js', 'node-common.js', 'node-worker.js', 'node-files.js'], most: 12_600 },
  // Besides cache-worker.js.
  { files: ['node-cache.js'], most: 5_500 },
  // Besides common.js. It computes in the service worker itself, so most of worker.js is in it.
  { files: ['service-worker.js'], most: 6_950 },
  // Besides common.js and the cache's scripts.
  { files: ['service-worker-cache.js'], most: 260 },
  { files: ['transformers.js'], most: 460 },
];

/**
 * The configuration of size-limit, which reads it from `.size-limit.mjs` and uses gzip at level 9.
 */
export const limits = BUDGETS.map(({ files, most }) => ({
  name: files.join(' + '),
  path: files.map((file) => `${packageDist}/${file}`),
  limit: `${most} B`,
  gzip: true,
}));

/** Throws if a part that a page downloads exceeds its limit. */
export function checkSizes() {
  return run('size-limit', []);
}
