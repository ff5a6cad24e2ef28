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

/** The error that ends the reads of a call that is over or was aborted. */
export const ENDED = new BitxError('aborted', 'The call has ended');

const opened = new Map<number, Opened>();
const created = new Map<number, NewFile>();

/**
 * Files that are open for reading and for writing, by numbers that the caller gives. It runs in a helper of its own, so
 * that bytes go on flowing while the host computes; where none starts, in the host.
 */
export const io = {
  /** Opens a file and tells its size. */
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

  /** Closes files; reads that are under way fail. */
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

  /** Puts the file in its place. */
  async finish(key: number): Promise<void> {
    await writing(() => (created.get(key) as NewFile).finish());
    created.delete(key);
  },

  /** Leaves nothing behind. */
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
    // The page's files throw what they like.
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
