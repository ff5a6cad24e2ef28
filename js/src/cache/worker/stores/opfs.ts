import { BitxError, type Bytes } from '../../../common/index.js';
import { decodeManifest, encode, type Manifest, type PartMeta, type PartRecord } from '../records.js';
import {
  type AccessHandle,
  canAccess,
  ignoreMissing,
  isNamed,
  openAccess,
  removeEntry,
  writeAll,
} from './access.js';
import { Journal, readJournal } from './journal.js';
import type { Entry, Store } from './store.js';

/**
 * The files of a model. The journal records the chunks of an incomplete model; the manifest exists
 * once all of them are stored.
 */
const DATA = 'data';
const JOURNAL = 'journal';
const MANIFEST = 'manifest';

const MOST_READS = 20;

/**
 * Opens a store with a folder for every model in the origin private file system, which only a
 * dedicated worker can write in place.
 */
export async function opfsStore(name: string, asked: boolean): Promise<Store> {
  const readOnly = !canAccess();
  // A service worker can read the files of pages, which it does only on request.
  if (readOnly && !(asked && 'clients' in self)) throw new Error('files cannot be written in place here');
  const root = await navigator.storage.getDirectory();
  const top = await root.getDirectoryHandle('bitx-wasm', { create: true });
  const folder = await top.getDirectoryHandle(`cache-${encodeURIComponent(name)}`, { create: true });
  const textOf = async (key: string, file: string) => {
    const model = await ignoreMissing(folder.getDirectoryHandle(key));
    const handle = await ignoreMissing(model?.getFileHandle(file) ?? Promise.resolve(undefined));
    return (await ignoreMissing(fileText(handle))) ?? '';
  };
  const dataOf = async (key: string) => {
    const model = await ignoreMissing(folder.getDirectoryHandle(key));
    return model && ignoreMissing(model.getFileHandle(DATA));
  };
  return {
    kind: 'opfs',
    reserves: true,
    async keys() {
      const keys: string[] = [];
      for await (const key of folder.keys()) keys.push(key);
      return keys;
    },
    manifest: async (key) => decodeManifest(await textOf(key, MANIFEST)),
    part: async (key) => readJournal(await textOf(key, JOURNAL)),
    async file(key, { size }) {
      const handle = await dataOf(key);
      const file = handle && (await ignoreMissing(handle.getFile()));
      return file?.size === size ? file : undefined;
    },
    handle: dataOf,
    async open(key) {
      if (readOnly) throw new BitxError('unsupported', 'A service worker cannot write files in place');
      return OpfsEntry.open(await folder.getDirectoryHandle(key, { create: true }));
    },
    async remove(key) {
      const model = await ignoreMissing(folder.getDirectoryHandle(key));
      if (!model) return;
      // Without its manifest the model no longer counts, even if the rest cannot be removed.
      await removeEntry(model, MANIFEST);
      await removeEntry(folder, key);
    },
  };
}

class OpfsEntry implements Entry {
  readonly #folder: FileSystemDirectoryHandle;
  readonly #data: AccessHandle;
  #journal: Journal | undefined;
  #buffer: Bytes = new Uint8Array(0);

  static async open(folder: FileSystemDirectoryHandle): Promise<OpfsEntry> {
    const whole = await ignoreMissing(folder.getFileHandle(MANIFEST));
    const manifest = decodeManifest((await fileText(whole)) ?? '');
    const data = await openAccess(folder, DATA);
    try {
      const journal = manifest ? undefined : new Journal(await openAccess(folder, JOURNAL));
      return new OpfsEntry(folder, data, journal);
    } catch (error) {
      data.close();
      throw error;
    }
  }

  private constructor(folder: FileSystemDirectoryHandle, data: AccessHandle, journal: Journal | undefined) {
    this.#folder = folder;
    this.#data = data;
    this.#journal = journal;
  }

  get record(): PartRecord | undefined {
    return this.#journal?.record;
  }

  async clear(): Promise<void> {
    // The manifest is deleted first, because a model with a manifest must have all of its bytes.
    await removeEntry(this.#folder, MANIFEST);
    this.#journal?.close();
    this.#journal = undefined;
    await removeEntry(this.#folder, JOURNAL);
    this.#data.truncate(0);
  }

  async begin(meta: PartMeta, chunks: Map<number, string> = new Map()): Promise<void> {
    this.#journal ??= new Journal(await openAccess(this.#folder, JOURNAL));
    this.#journal.begin(meta, chunks);
    await removeEntry(this.#folder, MANIFEST);
    // All of the space is reserved now, so that a lack of space shows at once and not after hours.
    if (meta.size !== undefined) this.#data.truncate(meta.size);
  }

  async put(index: number, bytes: Bytes, digest: string): Promise<void> {
    const journal = this.#opened();
    writeAll(this.#data, bytes, index * journal.chunkSize);
    this.#data.flush();
    journal.add(index, digest);
  }

  async forget(index: number): Promise<void> {
    this.#opened().forget(index);
  }

  async get(index: number, length: number): Promise<Bytes> {
    const { chunkSize } = this.#opened();
    // One buffer is reused: discarded buffers of megabytes pile up faster than they are collected.
    if (this.#buffer.length < length) this.#buffer = new Uint8Array(length);
    const bytes = this.#buffer.subarray(0, length);
    return bytes.subarray(0, this.#data.read(bytes, { at: index * chunkSize }));
  }

  async commit(manifest: Manifest): Promise<void> {
    this.#data.truncate(manifest.size);
    this.#data.flush();
    const file = await openAccess(this.#folder, MANIFEST);
    try {
      file.truncate(0);
      writeAll(file, new TextEncoder().encode(encode(manifest)), 0);
      file.flush();
    } finally {
      file.close();
    }
    this.#journal?.close();
    this.#journal = undefined;
    await removeEntry(this.#folder, JOURNAL);
  }

  async close(): Promise<void> {
    this.#data.close();
    this.#journal?.close();
  }

  #opened(): Journal {
    if (!this.#journal) throw new Error('nothing was begun');
    return this.#journal;
  }
}

/**
 * Reads a small file. If another tab writes it meanwhile, the `File` becomes unreadable, and the
 * file is opened again.
 */
async function fileText(handle: FileSystemFileHandle | undefined): Promise<string | undefined> {
  for (let tries = 1; ; tries++) {
    try {
      return handle && (await (await handle.getFile()).text());
    } catch (error) {
      if (!isNamed(error, 'NotReadableError') || tries === MOST_READS) throw error;
    }
  }
}
