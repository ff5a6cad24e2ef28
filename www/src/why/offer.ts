import type { ArchiveInfo } from 'bitx-wasm';

/** A base and its fine-tune on this device, and the archive between them. */
export interface Pair {
  name: string;
  bases: Blob[];
  targets: Blob[];
  archive: ArchiveInfo;
}

let latest: Pair | undefined;
const listeners: ((pair: Pair) => void)[] = [];

/** Offers the pair of the last task to the pictures of why it is small. */
export function offerPair(pair: Pair): void {
  latest = pair;
  for (const listener of listeners) listener(pair);
}

export function latestPair(): Pair | undefined {
  return latest;
}

/** Calls `listener` with each pair that is offered. */
export function onPair(listener: (pair: Pair) => void): void {
  listeners.push(listener);
}
