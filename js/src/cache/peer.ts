import { absolute, BitxError, type Peer } from '../common/index.js';
import type { Backend, CacheOptions } from './types.js';

/** The default backend; `undefined` tries each. */
export const DEFAULT_BACKEND: Backend | undefined = undefined;

/** Starts the cache's worker. In Node the build takes another file in place of this one. */
export function startPeer({ workerUrl }: CacheOptions): Peer {
  if (typeof Worker !== 'function') {
    const message = 'Workers cannot be started here; in a service worker, use bitx-wasm/cache/service-worker';
    throw new BitxError('unsupported', message);
  }
  // Bundlers recognise a worker by exactly this expression.
  return workerUrl
    ? new Worker(absolute(workerUrl), { type: 'module' })
    : new Worker(new URL('./cache-worker.js', import.meta.url), { type: 'module' });
}

/** A file as it has come from there. */
export function received(file: File): File {
  return file;
}
