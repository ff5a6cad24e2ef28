import { BitxError, type Bytes, messageOf } from '../../common/index.js';
import type { Source, WireFile } from '../protocol.js';
import type { RangeSource } from '../types.js';
import { createFile, type NewFile } from './new-file.js';
import { openFile } from './open-file.js';

interface Opened {
  name: Source;
  file: Promise<RangeSource>;
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
  /** Opens a file and returns its size in bytes. */
  async open(key: number, name: Source, wire: WireFile): Promise<number> {
    const stop = new AbortController();
    const file = openFile(wire, stop.signal);
    opened.set(key, { name, file, stop });
    const { size } = await reading(name, () => file);
    return size;
  },

  async read(key: number, offset: number, length: number): Promise<Bytes> {
    const { name, file, stop } = opened.get(key) as Opened;
    const bytes = await reading(name, async () => (await file).read(offset, length, stop.signal));
    if (bytes.length === length) return bytes as Bytes;
    const figures = { file: name, offset, expected: length, found: bytes.length };
    throw new BitxError('truncated', `${name} is shorter than it was when the call began`, figures);
  },

  /** Closes files; pending reads fail. */
  async close(keys: number[]): Promise<void> {
    for (const key of keys) {
      opened.get(key)?.stop.abort(ENDED);
      opened.delete(key);
    }
  },

  async create(key: number, handle: FileSystemFileHandle): Promise<void> {
    created.set(key, await writing(() => createFile(handle)));
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

async function reading<T>(file: Source, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    // The caller's `RangeSource` may throw anything.
    if (cause instanceof BitxError && cause.code !== 'internal') throw cause;
    throw new BitxError('io', `${file} could not be read: ${messageOf(cause)}`, { file, cause });
  }
}

async function writing<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new BitxError('io', `The output could not be written: ${messageOf(cause)}`, { cause });
  }
}
