/**
 * The model cache for service workers.
 *
 * @module bitx-wasm/cache/service-worker
 */
import type { Peer, Port } from '../common/index.js';
import { ModelCache as PageCache } from './index.js';
import type { CacheOptions } from './types.js';
import { Host } from './worker/worker.js';

/**
 * The {@link PageCache | model cache} for service workers. It runs in the service worker itself,
 * which may not start workers, and keeps models in Cache Storage, since service workers cannot
 * write files in place. With `backend: 'opfs'` it is read-only: it finds the models that pages have
 * stored in the origin private file system.
 */
export class ModelCache extends PageCache {
  /** Opens a cache. Keep the service worker alive by `event.waitUntil` while it downloads. */
  static override open(options: CacheOptions = {}): Promise<ModelCache> {
    return ModelCache.connect(options, startHere);
  }
}

/** Starts the host of the cache, which a page would run in a worker, in this thread. */
function startHere(): { peer: Peer } {
  const { port1, port2 } = new MessageChannel();
  const host = new Host(port2 as unknown as Port);
  port2.start();
  const terminate = () => {
    host.end();
    port1.close();
  };
  return { peer: Object.assign(port1, { onerror: null, terminate }) };
}
