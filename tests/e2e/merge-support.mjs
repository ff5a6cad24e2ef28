import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The models, their adapters, and what PEFT merged them into. */
export const adapters = fileURLToPath(new URL('../vectors/adapters', import.meta.url));

/** The vectors that PEFT merged in the arithmetic that adds no further rounding. */
export const EXACT = ['f32', 'bf16', 'f32-transposed'];

/** Returns the paths of a vector's files inside `folder`, which may be a URL. */
export function vector(folder, name) {
  const path = (file) => `${folder}/${name}/${file}`;
  return {
    base: path('base.safetensors'),
    adapter: path('adapter_model.safetensors'),
    config: path('adapter_config.json'),
    merged: path('merged.safetensors'),
  };
}

/** Splits a safetensors file into one file for the first tensor and one for the others. */
export function shards(path) {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE());
  const header = JSON.parse(file.subarray(8, 8 + length));
  delete header.__metadata__;
  const tensors = Object.entries(header);
  return [tensors.slice(0, 1), tensors.slice(1)].map((some) => shard(some, file.subarray(8 + length)));
}

function shard(tensors, data) {
  let at = 0;
  const places = tensors.map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [start, end],
      },
    ]) => {
      const place = [at, at + end - start];
      at += end - start;
      return [name, { dtype, shape, data_offsets: place }];
    },
  );
  const header = Buffer.from(JSON.stringify(Object.fromEntries(places)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const parts = tensors.map(
    ([
      ,
      {
        data_offsets: [start, end],
      },
    ]) => data.subarray(start, end),
  );
  return Buffer.concat([length, header, ...parts]);
}

export const pathTo = (...names) => join(adapters, ...names);
