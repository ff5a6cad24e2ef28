import { createBLAKE3, type IHasher } from 'hash-wasm';
import { abortError, BitxError, messageOf } from '../../common/index.js';
import type { ModelDigest } from '../messages.js';
import { type Region, regionsOf } from './layout.js';

/** Reads a file once, front to back, for its digest and those of its tensors. */
export async function digestFile(
  file: Blob,
  signal: AbortSignal,
  report: (loaded: number) => void,
): Promise<ModelDigest> {
  try {
    return await digest(file, signal, report);
  } catch (cause) {
    if (cause instanceof BitxError) throw cause;
    throw new BitxError('io', `The file could not be read: ${messageOf(cause)}`, { cause });
  }
}

async function digest(
  file: Blob,
  signal: AbortSignal,
  report: (loaded: number) => void,
): Promise<ModelDigest> {
  const regions = await regionsOf(file);
  const whole = await createBLAKE3();
  const parts = new RegionHashes(regions, await createBLAKE3());
  const reader = file.stream().getReader();
  let loaded = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (signal.aborted) throw abortError(signal);
    whole.update(part.value);
    parts.update(part.value);
    loaded += part.value.length;
    report(loaded);
  }
  const tensors = regions.map(({ name, dtype, shape, length }, index) => ({
    ...{ name, dtype, shape, length },
    blake3: parts.digests[index] ?? '',
  }));
  return { length: loaded, blake3: whole.digest(), tensors };
}

/** Digests of regions that follow one another, while the file goes by. */
class RegionHashes {
  readonly digests: string[] = [];
  readonly #regions: Region[];
  readonly #hasher: IHasher;
  #at = 0;

  constructor(regions: Region[], hasher: IHasher) {
    this.#regions = regions;
    this.#hasher = hasher.init();
  }

  update(bytes: Uint8Array): void {
    const within = (place: number) => Math.min(Math.max(place - this.#at, 0), bytes.length);
    for (let region = this.#next; region; region = this.#next) {
      const end = region.offset + region.length;
      const part = bytes.subarray(within(region.offset), within(end));
      if (part.length > 0) this.#hasher.update(part);
      if (end > this.#at + bytes.length) break;
      this.digests.push(this.#hasher.digest());
      this.#hasher.init();
    }
    this.#at += bytes.length;
  }

  get #next(): Region | undefined {
    return this.#regions[this.digests.length];
  }
}
