/// <reference types="node" />
/** The part of the File System API that the model cache uses, over a folder on the disk. */
import * as fs from 'node:fs';
import { mkdir, readdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { AccessHandle } from '../../cache/worker/stores/access.js';
import type { Bytes } from '../../common/index.js';
import { attempt, named } from './exceptions.js';
import { StoredFile } from './stored-file.js';

/** Returns the replacement of `navigator.storage`. */
export function folderStorage(directory: string) {
  return {
    getDirectory: async () => {
      await named(mkdir(directory, { recursive: true }));
      return new Folder(directory);
    },
    estimate: async () => {
      const { bavail, bsize } = await statfs(directory);
      return { quota: bavail * bsize, usage: 0 };
    },
  };
}

class Folder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<Folder> {
    const path = join(this.#path, name);
    if (create) await named(mkdir(path, { recursive: true }));
    else await named(stat(path));
    return new Folder(path);
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<FileSystemFileHandle> {
    const path = join(this.#path, name);
    if (!create) await named(stat(path));
    return new FileSystemFileHandle(path);
  }

  async removeEntry(name: string, { recursive = false } = {}): Promise<void> {
    await named(rm(join(this.#path, name), { recursive }));
  }

  async *keys(): AsyncGenerator<string, void> {
    yield* await named(readdir(this.#path));
  }
}

/** A handle of a file. The cache looks for a class of this name. */
export class FileSystemFileHandle {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async getFile(): Promise<StoredFile> {
    const { size } = await named(stat(this.#path));
    return new StoredFile({ path: this.#path, size });
  }

  async createSyncAccessHandle(): Promise<AccessHandle> {
    const flags = fs.constants.O_RDWR | fs.constants.O_CREAT;
    const file = attempt(() => fs.openSync(this.#path, flags));
    return {
      read: (into, { at }) =>
        all(into, (from) => fs.readSync(file, into, from, into.length - from, at + from)),
      write: (bytes, { at }) =>
        all(bytes, (from) => fs.writeSync(file, bytes, from, bytes.length - from, at + from)),
      truncate: (size) => attempt(() => fs.ftruncateSync(file, size)),
      getSize: () => fs.fstatSync(file).size,
      flush: () => attempt(() => fs.fsyncSync(file)),
      close: () => fs.closeSync(file),
    };
  }
}

/** Reads or writes all bytes, or fewer at the end of a file, and returns their number. */
function all(bytes: Bytes, some: (from: number) => number): number {
  let done = 0;
  while (done < bytes.length) {
    const count = attempt(() => some(done));
    if (count === 0) break;
    done += count;
  }
  return done;
}
