import type { Manifest, PartRecord } from '../records.js';
import type { Entry, Store } from './store.js';

interface Model {
  record: PartRecord | undefined;
  manifest: Manifest | undefined;
  blobs: Map<number, Blob>;
}

/** Returns a store that keeps models while the worker lives. Browsers move large Blobs to disk. */
export function memoryStore(): Store {
  const models = new Map<string, Model>();
  return {
    kind: 'memory',
    reserves: false,
    keys: async () => [...models.keys()],
    manifest: async (key) => models.get(key)?.manifest,
    part: async (key) => models.get(key)?.record,
    file: async (key) => new File([...(models.get(key)?.blobs.values() ?? [])], 'data'),
    open: async (key) => {
      const model = models.get(key) ?? { record: undefined, manifest: undefined, blobs: new Map() };
      models.set(key, model);
      return memoryEntry(model);
    },
    remove: async (key) => void models.delete(key),
  };
}

function memoryEntry(model: Model): Entry {
  return {
    get record() {
      return model.record;
    },
    async clear() {
      model.manifest = undefined;
      model.record = undefined;
      model.blobs.clear();
    },
    async begin(meta, chunks = new Map()) {
      model.manifest = undefined;
      model.record = { meta, chunks: new Map(chunks) };
    },
    async put(index, bytes, digest) {
      model.blobs.set(index, new Blob([bytes]));
      model.record?.chunks.set(index, digest);
    },
    async forget(index) {
      model.record?.chunks.delete(index);
    },
    async get(index) {
      return new Uint8Array((await model.blobs.get(index)?.arrayBuffer()) ?? []);
    },
    async commit(manifest) {
      model.blobs = new Map([...model.blobs].sort(([a], [b]) => a - b));
      model.manifest = manifest;
      model.record = undefined;
    },
    async close() {},
  };
}
