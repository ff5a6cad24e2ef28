import type { TensorPlace } from 'bitx-wasm';
import type { RemoteFile } from '../own/remote.js';
import { type FloatFields, fieldsOf } from './words.js';

/** A file of a model: on this device, or at an address. */
export type Part = Blob | RemoteFile;

/** The files of two models. */
export interface Files {
  bases: Part[];
  targets: Part[];
}

/**
 * A tensor of a base and of its fine-tune. It is flat, since models have many of them and workers
 * get copies.
 */
export interface TensorPair {
  name: string;
  dtype: string;
  /** Bytes. */
  length: number;
  /** The number of the base's file, and the tensor's offset there in bytes. */
  baseFile: number;
  baseOffset: number;
  /** The same for the fine-tune. */
  targetFile: number;
  targetOffset: number;
}

/**
 * Pairs the float tensors of two models that have the same name, dtype and length. The tensors of
 * each model are listed by its files.
 */
export function pairTensors(bases: TensorPlace[][], targets: TensorPlace[][]): TensorPair[] {
  const known = new Map<string, { file: number; place: TensorPlace }>();
  for (const [file, places] of bases.entries()) {
    for (const place of places) known.set(place.name, { file, place });
  }
  return targets.flatMap((places, file) =>
    places.flatMap(({ name, dtype, length, offset }) => {
      const base = known.get(name);
      if (!fieldsOf(dtype) || !base || base.place.dtype !== dtype || base.place.length !== length) return [];
      const origin = { baseFile: base.file, baseOffset: base.place.offset };
      return [{ name, dtype, length, ...origin, targetFile: file, targetOffset: offset }];
    }),
  );
}

/** Returns the fields of a pair's weights. */
export function fieldsOfPair({ dtype }: TensorPair): FloatFields {
  const fields = fieldsOf(dtype);
  if (!fields) throw new TypeError(`${dtype} has no fields`);
  return fields;
}

/** Returns the number of a pair's weights. */
export function weightsOfPair(pair: TensorPair): number {
  return Math.floor(pair.length / fieldsOfPair(pair).bytes);
}
