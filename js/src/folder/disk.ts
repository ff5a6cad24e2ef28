import type { Input } from '../codec/types.js';
import { BitxError } from '../common/index.js';

/** A new folder on the disk, which appears when it is complete. */
export interface DiskFolder {
  /** Returns the path of a file to write, in folders that exist. */
  at(path: string): Promise<string>;
  finish(): Promise<void>;
  discard(): Promise<void>;
  /** Returns the last bytes of a file. */
  end(path: string, length: number): Promise<Blob>;
  /** Writes a short file. */
  put(path: string, content: Blob): Promise<void>;
}

/**
 * Lists a folder on the disk without the subfolders `leftOut`; undefined for an address. The build
 * for Node replaces this module by one of its own: pages have no disk.
 */
export async function listed(
  _input: string | URL,
  _leftOut: string[],
): Promise<Map<string, Input> | undefined> {
  return undefined;
}

/** Returns the length of a file on the disk in bytes; undefined for other addresses. */
export async function sizeOnDisk(_input: string | URL): Promise<number | undefined> {
  return undefined;
}

/** Creates a folder on the disk. */
export async function newFolder(path: string | URL): Promise<DiskFolder> {
  throw new BitxError('invalid-argument', `output must be a folder handle or a function, not "${path}"`);
}
