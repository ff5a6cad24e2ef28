import type { Bytes } from '../../../common/index.js';
import type { Backend } from '../../types.js';
import type { Manifest, PartMeta, PartRecord } from '../records.js';

/**
 * Keeps models by key. What a method has resolved for is durable, as far as the kind of store can be; a model appears
 * with `commit` and not before. Two writers of one key must be kept apart by the caller.
 */
export interface Store {
  readonly kind: Backend;
  /** `true` if `begin` takes all of a model's space at once. */
  readonly reserves: boolean;
  /** The keys of all models, whole or not. */
  keys(): Promise<string[]>;
  /** A whole model's manifest. */
  manifest(key: string): Promise<Manifest | undefined>;
  /** A part's record. */
  part(key: string): Promise<PartRecord | undefined>;
  /** The bytes that a manifest speaks of, unless they have gone or are of another size. */
  file(key: string, manifest: Manifest): Promise<File | undefined>;
  /** Opens a model for writing. */
  open(key: string): Promise<Entry>;
  remove(key: string): Promise<void>;
}

/** A model that is being written. */
export interface Entry {
  /** The record of the entry; `undefined` before `begin`. */
  readonly record: PartRecord | undefined;
  /** Removes whatever is there, whole or not. */
  clear(): Promise<void>;
  /** Begins a part; with chunks that are there already, where a whole model turned out to be damaged. */
  begin(meta: PartMeta, chunks?: Map<number, string>): Promise<void>;
  /** Stores a chunk, then its record. The bytes may be overwritten afterwards. */
  put(index: number, bytes: Bytes, digest: string): Promise<void>;
  /** Takes a chunk out of the record. */
  forget(index: number): Promise<void>;
  /** The bytes of a chunk, or fewer, or others, where the storage has gone wrong; good until the next call. */
  get(index: number, length: number): Promise<Bytes>;
  /** Makes a model of the part. */
  commit(manifest: Manifest): Promise<void>;
  close(): Promise<void>;
}
