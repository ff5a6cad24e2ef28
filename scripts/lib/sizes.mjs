import { packageDist } from './paths.mjs';
import { run } from './run.mjs';

/**
 * The most that each part of the package may weigh, in bytes as servers send them: compressed by gzip at level 9. Those of
 * a first restore and of the wasm are what a user waits for; the others are some 4 % above what they took when they
 * were set, so that growth is noticed and a bug can be mended.
 */
const BUDGETS = [
  // A first restore.
  { files: ['index.js', 'common.js', 'worker.js'], most: 17_000 },
  { files: ['bitx-restore.wasm'], most: 160_000 },
  { files: ['bitx-restore-threads.wasm'], most: 180_000 },
  { files: ['bitx-compress.wasm'], most: 180_000 },
  { files: ['bitx-compress-threads.wasm'], most: 200_000 },
  // Besides common.js. Two thirds are the digests, which are wasm in base64.
  { files: ['cache.js', 'cache-worker.js'], most: 28_700 },
  // Besides common.js and the cache's scripts. Half of it is BLAKE3.
  { files: ['hub.js', 'hub-worker.js'], most: 17_600 },
  // Besides worker.js and common.js, which Node's threads run as browsers' workers do.
  { files: ['node.js', 'node-common.js', 'node-worker.js', 'node-files.js'], most: 11_300 },
  // Besides cache-worker.js.
  { files: ['node-cache.js'], most: 4_700 },
  // Besides common.js. It computes in the service worker itself, so it has most of worker.js once more.
  { files: ['service-worker.js'], most: 7_200 },
  // Besides common.js and the cache's scripts.
  { files: ['service-worker-cache.js'], most: 260 },
  { files: ['transformers.js'], most: 430 },
];

/** The configuration of size-limit, which reads it from `.size-limit.mjs`. Its gzip is of level 9. */
export const limits = BUDGETS.map(({ files, most }) => ({
  name: files.join(' + '),
  path: files.map((file) => `${packageDist}/${file}`),
  limit: `${most} B`,
  gzip: true,
}));

/** Fails if anything that a page downloads has outgrown its budget. */
export function checkSizes() {
  return run('size-limit', []);
}
