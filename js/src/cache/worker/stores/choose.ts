import { BitxError, messageOf } from '../../../common/index.js';
import type { Backend } from '../../types.js';
import { cacheStorageStore } from './cache-storage.js';
import { memoryStore } from './memory.js';
import { opfsStore } from './opfs.js';
import type { Store } from './store.js';

/** The stores, from the best to the one that always works. */
const STORES: Record<Backend, (name: string, asked: boolean) => Store | Promise<Store>> = {
  opfs: opfsStore,
  'cache-storage': cacheStorageStore,
  memory: memoryStore,
};

/**
 * Opens the requested store, or the best one that works: private windows and old browsers lack
 * some.
 */
export async function chooseStore(name: string, wanted: Backend | undefined): Promise<Store> {
  const kinds = wanted ? [wanted] : (Object.keys(STORES) as Backend[]);
  const reasons: string[] = [];
  for (const kind of kinds) {
    try {
      return await STORES[kind](name, wanted !== undefined);
    } catch (error) {
      reasons.push(`${kind}: ${messageOf(error)}`);
    }
  }
  throw new BitxError('unsupported', `Models cannot be stored here (${reasons.join('; ')})`);
}
