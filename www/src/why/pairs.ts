import type { TensorPlace } from 'bitx-wasm';
import { type FloatFields, fieldsOf } from './words.js';

/** A tensor of a base and of its fine-tune, with the files that hold them. */
export interface TensorPair {
  name: string;
  dtype: string;
  fields: FloatFields;
  /** Bytes. */
  length: number;
  base: Blob;
  target: Blob;
}

/** A file of a model with its tensors. */
export interface Listed {
  blob: Blob;
  tensors: TensorPlace[];
}

/** Pairs the float tensors of two models that have the same name, dtype and length. */
export function pairTensors(bases: Listed[], targets: Listed[]): TensorPair[] {
  const known = new Map(
    bases.flatMap(({ blob, tensors }) => tensors.map((place) => [place.name, { blob, place }])),
  );
  return targets.flatMap(({ blob, tensors }) =>
    tensors.flatMap((place) => {
      const { name, dtype, length } = place;
      const fields = fieldsOf(dtype);
      const base = known.get(name);
      if (!fields || !base || base.place.dtype !== dtype || base.place.length !== length) return [];
      const part = (file: Blob, { offset }: TensorPlace) => file.slice(offset, offset + length);
      return [{ name, dtype, fields, length, base: part(base.blob, base.place), target: part(blob, place) }];
    }),
  );
}
