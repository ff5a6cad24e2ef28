import type { Input } from 'bitx-wasm';
import { bytes, counted } from '../format.js';
import { fileName } from '../send/query.js';
import type { Group, Named } from './groups.js';

/** A file of the reader's: one of the device, or one at an address. */
export interface Source extends Named {
  file: File | URL;
}

/** A model or a delta, of one file or of several shards. */
export type Model = Group<Source>;

/** Returns the file's name, without its folders. */
export function sourceName({ path }: Source): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function ofUrl(url: URL): Source {
  return { path: fileName(url), file: url };
}

/** Returns a file in the form that the engine takes. */
export function inputOf({ file }: Source): Input {
  return file instanceof URL ? file.href : file;
}

/** Returns the size of a model in bytes; undefined if a part of it is at an address. */
export function sizeOf({ files }: Model): number | undefined {
  const sizes = files.map(({ file }) => (file instanceof File ? file.size : Number.NaN));
  const sum = sizes.reduce((total, size) => total + size, 0);
  return Number.isNaN(sum) ? undefined : sum;
}

/** Describes a model in a line: its name, its shards, and its size or its host. */
export function describe(model: Model): string {
  const size = sizeOf(model);
  const [first] = model.files;
  const host = first?.file instanceof URL ? first.file.host : '';
  const shards = model.files.length > 1 ? counted(model.files.length, 'file') : '';
  return [model.name, shards, size === undefined ? host : bytes(size)].filter(Boolean).join(', ');
}

/** Returns the blobs of a model; undefined if a part of it is at an address. */
export function blobsOf({ files }: Model): Blob[] | undefined {
  const blobs = files.map(({ file }) => file).filter((file) => file instanceof File);
  return blobs.length === files.length ? blobs : undefined;
}
