import { digestOf } from './hashes.js';
import type { Meter } from './meter.js';
import { chunkLength, demoted, type Manifest } from './records.js';
import type { Store } from './stores/store.js';

/** Reads a model, and returns the chunks that do not match its manifest. */
export async function findBadChunks(
  store: Store,
  key: string,
  manifest: Manifest,
  signal: AbortSignal,
  meter: Meter,
): Promise<number[]> {
  const { chunks, chunkSize, size } = manifest;
  const file = await store.file(key, manifest);
  const bad: number[] = [];
  meter.begin(0, size);
  for (const [index, digest] of chunks.entries()) {
    signal.throwIfAborted();
    const start = index * chunkSize;
    const length = chunkLength(index, manifest);
    const slice = file?.slice(start, start + length).arrayBuffer();
    // All chunks of a missing or unreadable file are bad.
    const bytes = await slice?.catch(() => undefined);
    if (!bytes || (await digestOf(new Uint8Array(bytes))) !== digest) bad.push(index);
    meter.add(length);
  }
  return bad;
}

/** Turns a damaged model into an incomplete one that lacks only the bad chunks. */
export async function demote(store: Store, key: string, manifest: Manifest, bad: number[]): Promise<void> {
  const { meta, chunks } = demoted(manifest);
  for (const index of bad) chunks.delete(index);
  const entry = await store.open(key);
  try {
    await entry.begin(meta, chunks);
  } finally {
    await entry.close();
  }
}
