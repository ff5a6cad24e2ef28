import { BitxError, type Bytes, messageOf } from '../../common/index.js';
import type { Source, WireFile } from '../protocol.js';
import { createFile, type NewFile } from './new-file.js';
import { type OpenFile, openFile } from './open-file.js';
import type { Snapshot } from './private-file.js';

interface Opened {
  name: Source;
  file: Promise<OpenFile>;
  stop: AbortController;
}

/** The error of reads whose call is over or was aborted. */
export const ENDED = new BitxError('aborted', 'The call has ended');

const opened = new Map<number, Opened>();
const created = new Map<number, NewFile>();

/**
 * Reads and writes files, which the caller identifies by numbers. This runs in a helper worker, so
 * that reading and writing continue while the host computes, or in the host if no helper starts.
 */
export const io = {
  /** Opens a file. Returns its size in bytes, and the file if other workers can open it. */
  async open(key: number, name: Source, wire: WireFile): Promise<[number, Snapshot | undefined]> {
    const stop = new AbortController();
    const file = openFile(wire, stop.signal);
    opened.set(key, { name, file, stop });
    const { size, snapshot } = await reading(name, () => file);
    return [size, snapshot];
  },

  async read(key: number, offset: number, length: number): Promise<Bytes> {
    const { name, file, stop } = opened.get(key) as Opened;
    const bytes = await reading(name, async () => (await file).read(offset, length, stop.signal));
    requireWhole(name, offset, length, bytes.length);
    return bytes as Bytes;
  },

  /** Closes files; pending reads fail. */
  async close(keys: number[]): Promise<void> {
    for (const key of keys) {
      const { file, stop } = opened.get(key) ?? {};
      opened.delete(key);
      stop?.abort(ENDED);
      // A file that is still being opened is closed as soon as it is open.
      await file?.catch(() => {});
    }
  },

  /**
   * Creates a file of `size` bytes, or of any size. Returns the incomplete file, if other workers
   * can write to it.
   */
  async create(
    key: number,
    handle: FileSystemFileHandle,
    size?: number,
  ): Promise<FileSystemFileHandle | undefined> {
    const file = await writing(() => createFile(handle, size));
    created.set(key, file);
    return file.part;
  },

  async write(key: number, bytes: Bytes): Promise<void> {
    await writing(() => (created.get(key) as NewFile).write(bytes));
  },

  /** Completes a file, whose new content replaces the old. */
  async finish(key: number): Promise<void> {
    await writing(() => (created.get(key) as NewFile).finish());
    created.delete(key);
  },

  /** Removes an incomplete file. */
  async discard(key: number): Promise<void> {
    await created.get(key)?.discard();
    created.delete(key);
  },
};

export type Io = typeof io;

/** Throws if a read has returned fewer bytes than there were when the call began. */
export function requireWhole(file: Source, offset: number, expected: number, found: number): void {
  if (found === expected) return;
  const message = `${file} is shorter than it was when the call began`;
  throw new BitxError('truncated', message, { file, offset, expected, found });
}

/** Adds the input to the error of an action that reads it. */
export async function reading<T>(file: Source, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    // The caller's `RangeSource` may throw anything.
    if (cause instanceof BitxError && cause.code !== 'internal') throw cause;
    throw new BitxError('io', `${file} could not be read: ${messageOf(cause)}`, { file, cause });
  }
}

/** Converts the error of an action that writes the output. */
export async function writing<T>(action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new BitxError('io', `The output could not be written: ${messageOf(cause)}`, { cause });
  }
}
