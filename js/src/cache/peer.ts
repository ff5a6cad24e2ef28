import { type Peer, requireWorkers, startWorker } from '../common/index.js';
import type { Backend, CacheOptions } from './types.js';

/** The default backend; `undefined` tries all of them in order. */
export const DEFAULT_BACKEND: Backend | undefined = undefined;

/** A worker, and the address of its script if it has one. */
export interface Started {
  peer: Peer;
  script?: string;
}

/** Starts the cache's worker. The build for Node replaces this module by one of its own. */
export function startPeer({ workerUrl }: CacheOptions): Started {
  requireWorkers('ModelCache (bitx-wasm/cache/service-worker does without)');
  return startWorker({
    name: 'cache-worker.js',
    beside: import.meta.url,
    workerUrl,
    // Bundlers recognise a worker by exactly this expression.
    bundled: () => new Worker(new URL('./cache-worker.js', import.meta.url), { type: 'module' }),
  });
}

/** Returns a file that the worker sent in the form that the caller gets: here, the same. */
export function received(file: File): File {
  return file;
}
