import { compress, init } from '@bokuweb/zstd-wasm';
import type { OtherSizes } from './messages.js';
import type { TensorPair } from './pairs.js';

/** The level of zstd, which is its default. */
const LEVEL = 3;
/** Bytes that are compressed at once; a model is compressed in parts of this size. */
const PART = 16 << 20;

let ready: Promise<void> | undefined;

/** Measures a model compressed by zstd, and its exclusive or with the base compressed by zstd. */
export async function otherSizes(pairs: TensorPair[], targets: Blob[]): Promise<OtherSizes> {
  ready ??= init();
  await ready;
  const zstd = await sum(targets, async (blob, from, end) => bytesOf(blob, from, end));
  const paired = pairs.reduce((bytes, { length }) => bytes + length, 0);
  const whole = targets.reduce((bytes, { size }) => bytes + size, 0);
  let xorZstd = 0;
  for (const { base, target } of pairs) {
    xorZstd += await sum([target], async (blob, from, end) =>
      xor(await bytesOf(blob, from, end), await bytesOf(base, from, end)),
    );
  }
  // The rest of the model has no base and is taken to shrink as the model does.
  return { zstd, xorZstd: Math.round(xorZstd + (zstd * (whole - paired)) / Math.max(1, whole)) };
}

async function sum(
  blobs: Blob[],
  part: (blob: Blob, from: number, end: number) => Promise<Uint8Array>,
): Promise<number> {
  let total = 0;
  for (const blob of blobs) {
    for (let from = 0; from < blob.size; from += PART) {
      total += compress(await part(blob, from, Math.min(blob.size, from + PART)), LEVEL).length;
    }
  }
  return total;
}

async function bytesOf(blob: Blob, from: number, end: number): Promise<Uint8Array> {
  return new Uint8Array(await blob.slice(from, end).arrayBuffer());
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] ?? 0));
}
