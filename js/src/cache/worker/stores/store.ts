import type { Bytes } from '../../../common/index.js';
import type { Backend } from '../../types.js';
import type { Manifest, PartMeta, PartRecord } from '../records.js';

/**
 * Keeps models by key. The effect of a method is durable once it has resolved, as far as the kind
 * of store permits. A model becomes visible with `commit`. The caller must keep two writers of one
 * key apart.
 */
export interface Store {
  readonly kind: Backend;
  /** `true` if `begin` reserves all of a model's space. */
  readonly reserves: boolean;
  /** Returns the keys of all models, complete or not. */
  keys(): Promise<string[]>;
  /** Returns the manifest of a complete model. */
  manifest(key: string): Promise<Manifest | undefined>;
  /** Returns the record of an incomplete model. */
  part(key: string): Promise<PartRecord | undefined>;
  /** Returns the file of a manifest; undefined if it is missing or has another size. */
  file(key: string, manifest: Manifest): Promise<File | undefined>;
  /** Returns the same file, in a store whose files other workers can open. */
  handle?(key: string): Promise<FileSystemFileHandle | undefined>;
  /** Opens a model for writing. */
  open(key: string): Promise<Entry>;
  remove(key: string): Promise<void>;
}

/** A model that is being written. */
export interface Entry {
  /** The record of the entry; `undefined` before `begin`. */
  readonly record: PartRecord | undefined;
  /** Removes the model, complete or not. */
  clear(): Promise<void>;
  /** Begins an incomplete model. `chunks` are already stored, if a complete model was damaged. */
  begin(meta: PartMeta, chunks?: Map<number, string>): Promise<void>;
  /** Stores a chunk, then its record. The caller may reuse the buffer afterwards. */
  put(index: number, bytes: Bytes, digest: string): Promise<void>;
  /** Removes a chunk from the record. */
  forget(index: number): Promise<void>;
  /**
   * Returns the bytes of a chunk, valid until the next call. Damaged storage may return fewer or
   * wrong bytes.
   */
  get(index: number, length: number): Promise<Bytes>;
  /** Makes the model complete by writing its manifest. */
  commit(manifest: Manifest): Promise<void>;
  close(): Promise<void>;
}
