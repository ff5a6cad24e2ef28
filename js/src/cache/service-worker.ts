import type { Peer } from '../common/index.js';
import { ModelCache as PageCache } from './index.js';
import type { CacheOptions } from './types.js';
import { Host, type Port } from './worker/worker.js';

/**
 * The {@link PageCache | model cache} of a service worker. It runs inside of it, since service workers may not start
 * workers, and keeps models in Cache Storage, since they cannot write files in place. With `backend: 'opfs'` it finds
 * what pages have stored in the origin's file system, and stores nothing.
 */
export class ModelCache extends PageCache {
  /** Opens a cache. Keep the service worker alive by `event.waitUntil` while it downloads. */
  static override open(options: CacheOptions = {}): Promise<ModelCache> {
    return ModelCache.connect(options, startHere);
  }
}

/** Starts what a page has in a worker. */
function startHere(): Peer {
  const { port1, port2 } = new MessageChannel();
  const host = new Host(port2 as Port);
  port2.start();
  const terminate = () => {
    host.end();
    port1.close();
  };
  return Object.assign(port1, { onerror: null, terminate });
}
