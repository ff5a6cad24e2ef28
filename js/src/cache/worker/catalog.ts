import { fits, type Integrity } from '../integrity.js';
import type { Found } from '../messages.js';
import type { ModelStat } from '../types.js';
import { infoOf, type Manifest, storedBytes } from './records.js';
import type { Store } from './stores/store.js';

/** Finds models in a store, without changing it. */
export class Catalog {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Returns a complete model, if it has the required digest. */
  async whole(key: string, integrity?: Integrity): Promise<Found | undefined> {
    const manifest = await this.#store.manifest(key);
    if (!manifest || (integrity && !fits(manifest, integrity))) return undefined;
    return foundIn(this.#store, key, manifest);
  }

  /** Returns any complete model with a digest. */
  async withDigest(integrity: Integrity): Promise<Found | undefined> {
    for (const key of await this.#store.keys()) {
      const found = await this.whole(key, integrity);
      if (found) return found;
    }
    return undefined;
  }

  async stat(key: string): Promise<ModelStat | undefined> {
    const found = await this.whole(key);
    if (found) {
      const { model } = found;
      return { url: model.url, complete: true, size: model.size, storedBytes: model.size, model };
    }
    const part = await this.#store.part(key);
    if (!part) return undefined;
    const { url, size } = part.meta;
    return { url, complete: false, size, storedBytes: storedBytes(part) };
  }

  async list(): Promise<ModelStat[]> {
    const stats = await Promise.all((await this.#store.keys()).map((key) => this.stat(key)));
    return stats.filter((stat) => stat !== undefined);
  }
}

/** Returns the model of a manifest; undefined if its file is missing or has another size. */
export async function foundIn(store: Store, key: string, manifest: Manifest): Promise<Found | undefined> {
  const file = await store.file(key, manifest);
  return file && { file, model: infoOf(manifest), handle: await store.handle?.(key) };
}
