/**
 * The models to measure: full-size ones from a folder beside the project if it exists, or else the
 * test vectors.
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { time } from './measure.mjs';

const FULL_SIZE = join(root, '..', 'shared', 'models');
const MINI = join(root, 'tests', 'vectors', 'mini');

/** The pairs whose sizes are measured. Speeds are measured for the first two only. */
const NAMES = ['sft-bf16', 'rl-bf16', 'lora-bf16'];
const MINI_NAMES = ['sft-f16', 'sft-f32'];
export const TIMED_NAMES = NAMES.slice(0, 2);

/**
 * The folder of the models. `fullSize` is set if they are large enough for measurements of speed.
 */
export function modelFolder() {
  const fullSize = NAMES.every((name) => existsSync(join(FULL_SIZE, `${name}.v1.bitx`)));
  return { folder: fullSize ? FULL_SIZE : MINI, fullSize };
}

/** Restores the fine-tune of each pair into `scratch` with the reference, and returns the pairs. */
export function preparePairs(folder, scratch, reference, threads) {
  const prepare = (from) => (name) => {
    const base = join(from, `base-${name.split('-').pop()}.safetensors`);
    const archive = join(from, `${name}.v1.bitx`);
    const model = join(scratch, `${name}.safetensors`);
    time(reference.binary, reference.decompressArgs(base, archive, model, threads));
    const bytes = statSync(model).size;
    return { name, base, archive, model, bytes, raw: tensorBytes(model), sha256: sha256(model) };
  };
  return [...NAMES.map(prepare(folder)), ...MINI_NAMES.map(prepare(MINI))];
}

/** The length of the data of a safetensors file, without its header. */
export function tensorBytes(path) {
  const file = openSync(path);
  try {
    const length = Buffer.alloc(8);
    readSync(file, length);
    return statSync(path).size - 8 - Number(length.readBigUInt64LE());
  } finally {
    closeSync(file);
  }
}

/** The SHA-256 of a file of any size. */
export function sha256(path) {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(1 << 22);
  const file = openSync(path);
  try {
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) {
      hash.update(piece.subarray(0, read));
    }
  } finally {
    closeSync(file);
  }
  return hash.digest('hex');
}

/** Throws unless a file is the fine-tune of `pair`. */
export function mustBe(path, pair) {
  if (sha256(path) !== pair.sha256) throw new Error(`${pair.name}: the restored bytes are wrong`);
}
