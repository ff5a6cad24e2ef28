import { compress, init } from '@bokuweb/zstd-wasm';
import type { OtherSizes } from './messages.js';
import type { TensorPair } from './pairs.js';
import type { PairReader } from './reader.js';

/** The level of zstd, which is its default. */
const LEVEL = 3;
/** Bytes that are compressed at once; a model is compressed in parts of this size. */
const PART = 16 << 20;

let ready: Promise<void> | undefined;

/** Measures a model compressed by zstd, and its exclusive or with the base compressed by zstd. */
export async function otherSizes(
  pairs: TensorPair[],
  targets: Blob[],
  reader: PairReader,
): Promise<OtherSizes> {
  ready ??= init();
  await ready;
  let zstd = 0;
  for (const target of targets) {
    zstd += await parts(
      target.size,
      async (from, end) => new Uint8Array(await target.slice(from, end).arrayBuffer()),
    );
  }
  let xorZstd = 0;
  for (const pair of pairs) {
    xorZstd += await parts(pair.length, async (from, end) => xor(...(await reader.bytes(pair, from, end))));
  }
  const paired = pairs.reduce((bytes, { length }) => bytes + length, 0);
  const whole = targets.reduce((bytes, { size }) => bytes + size, 0);
  // The rest of the model has no base and is taken to shrink as the model does.
  return { zstd, xorZstd: Math.round(xorZstd + (zstd * (whole - paired)) / Math.max(1, whole)) };
}

/** Compresses bytes in parts, and returns the sum of their sizes. */
async function parts(
  length: number,
  read: (from: number, end: number) => Promise<Uint8Array>,
): Promise<number> {
  let total = 0;
  for (let from = 0; from < length; from += PART) {
    total += compress(await read(from, Math.min(length, from + PART)), LEVEL).length;
  }
  return total;
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] ?? 0));
}
