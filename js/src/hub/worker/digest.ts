import { createBLAKE3, type IHasher } from 'hash-wasm';
import type { TensorPlace } from '../../codec/types.js';
import { abortError, BitxError, messageOf } from '../../common/index.js';
import type { ModelDigest, Operations } from '../messages.js';

type Digested = Operations['digest']['args'];

/** Reads a file once, from front to back, for its digest and those of its tensors. */
export async function digestFile(
  file: Digested,
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
  { blob, tensors: places }: Digested,
  signal: AbortSignal,
  report: (loaded: number) => void,
): Promise<ModelDigest> {
  const whole = await createBLAKE3();
  const parts = new TensorHashes(places, await createBLAKE3());
  const reader = blob.stream().getReader();
  let loaded = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (signal.aborted) throw abortError(signal);
    whole.update(part.value);
    parts.update(part.value);
    loaded += part.value.length;
    report(loaded);
  }
  const tensors = places.map(({ name, dtype, shape, length }, index) => ({
    ...{ name, dtype, shape, length },
    blake3: parts.digests[index] ?? '',
  }));
  return { length: loaded, blake3: whole.digest(), tensors };
}

/** The digests of consecutive tensors, computed while the file streams past. */
class TensorHashes {
  readonly digests: string[] = [];
  readonly #places: TensorPlace[];
  readonly #hasher: IHasher;
  #at = 0;

  constructor(places: TensorPlace[], hasher: IHasher) {
    this.#places = places;
    this.#hasher = hasher.init();
  }

  update(bytes: Uint8Array): void {
    const within = (offset: number) => Math.min(Math.max(offset - this.#at, 0), bytes.length);
    for (let place = this.#next; place; place = this.#next) {
      const end = place.offset + place.length;
      const part = bytes.subarray(within(place.offset), within(end));
      if (part.length > 0) this.#hasher.update(part);
      if (end > this.#at + bytes.length) break;
      this.digests.push(this.#hasher.digest());
      this.#hasher.init();
    }
    this.#at += bytes.length;
  }

  get #next(): TensorPlace | undefined {
    return this.#places[this.digests.length];
  }
}
