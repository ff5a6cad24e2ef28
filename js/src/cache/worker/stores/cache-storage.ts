import { decodeManifest, decodeMeta, encode, type Manifest, type PartRecord } from '../records.js';
import type { Entry, Store } from './store.js';

/** The origin of the cache's keys, which must be URLs. Nothing is ever requested from it. */
const ORIGIN = 'https://bitx-wasm.invalid/';
const META = `${ORIGIN}part`;
const MANIFEST = `${ORIGIN}manifest`;
const DIGEST = 'x-sha256';

const chunkUrl = (index: number) => `${ORIGIN}chunk/${index}`;

/**
 * Opens a store with a cache for every model and a response for every chunk. The browser stores a
 * response completely or not at all.
 */
export async function cacheStorageStore(name: string): Promise<Store> {
  const prefix = `bitx-wasm/${name}/`;
  const cacheOf = (key: string) => caches.open(prefix + key);
  // Some browsers have the interface but refuse to store anything.
  const probe = await caches.open(prefix);
  await probe.put(META, new Response('probe'));
  await caches.delete(prefix);
  const keys = async () =>
    (await caches.keys()).filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  const existing = async (key: string) => ((await caches.has(prefix + key)) ? cacheOf(key) : undefined);
  return {
    kind: 'cache-storage',
    reserves: false,
    keys,
    manifest: async (key) => {
      const cache = await existing(key);
      return cache && decodeManifest(await textOf(cache, MANIFEST));
    },
    part: async (key) => {
      const cache = await existing(key);
      return cache && readRecord(cache);
    },
    file: async (key, manifest) => {
      const cache = await existing(key);
      return cache && fileOf(cache, manifest);
    },
    open: async (key) => openEntry(await cacheOf(key)),
    remove: async (key) => {
      const cache = await existing(key);
      await cache?.delete(MANIFEST);
      await caches.delete(prefix + key);
    },
  };
}

async function openEntry(cache: Cache): Promise<Entry> {
  let record = (await cache.match(MANIFEST)) ? undefined : await readRecord(cache);
  return {
    get record() {
      return record;
    },
    async clear() {
      // The manifest is deleted first, because a model with a manifest must have all of its bytes.
      await cache.delete(MANIFEST);
      for (const request of await cache.keys()) await cache.delete(request);
      record = undefined;
    },
    async begin(meta, chunks = new Map()) {
      await cache.put(META, new Response(encode(meta)));
      // The responses are the record of the chunks.
      const stored = await readRecord(cache);
      const dropped = [...(stored?.chunks.keys() ?? [])].filter((index) => !chunks.has(index));
      for (const index of dropped) await cache.delete(chunkUrl(index));
      await cache.delete(MANIFEST);
      record = { meta, chunks: new Map(chunks) };
    },
    async put(index, bytes, digest) {
      await cache.put(chunkUrl(index), new Response(bytes, { headers: { [DIGEST]: digest } }));
      record?.chunks.set(index, digest);
    },
    async forget(index) {
      await cache.delete(chunkUrl(index));
      record?.chunks.delete(index);
    },
    async get(index) {
      const response = await cache.match(chunkUrl(index));
      return new Uint8Array((await response?.arrayBuffer()) ?? []);
    },
    async commit(manifest) {
      await cache.put(MANIFEST, new Response(encode(manifest)));
      await cache.delete(META);
      record = undefined;
    },
    async close() {},
  };
}

async function readRecord(cache: Cache): Promise<PartRecord | undefined> {
  const meta = decodeMeta(await textOf(cache, META));
  if (!meta) return undefined;
  const chunks = new Map<number, string>();
  for (const { url } of await cache.keys()) {
    const index = url.startsWith(chunkUrl(0).slice(0, -1)) ? Number(url.split('/').at(-1)) : undefined;
    const digest = index === undefined ? undefined : (await cache.match(url))?.headers.get(DIGEST);
    if (index !== undefined && digest) chunks.set(index, digest);
  }
  return { meta, chunks };
}

async function fileOf(cache: Cache, { size, chunks }: Manifest): Promise<File | undefined> {
  const blobs = await Promise.all(
    chunks.map(async (_, index) => (await cache.match(chunkUrl(index)))?.blob()),
  );
  const file = new File(
    blobs.filter((blob) => blob !== undefined),
    'data',
  );
  return file.size === size ? file : undefined;
}

async function textOf(cache: Cache, url: string): Promise<string> {
  return (await (await cache.match(url))?.text()) ?? '';
}
