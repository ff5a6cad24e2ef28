import { abortError, BitxError } from '../../errors.js';
import type { Digests } from '../integrity.js';
import type { Board } from './board.js';
import { digestOf, FileHash } from './hashes.js';
import type { Bytes, Entry } from './stores/store.js';

/** What the file came to. */
export interface Sealed {
  digests: Digests;
  size: number;
  /** SHA-256 of every chunk. */
  chunks: string[];
}

export interface SealOptions {
  entry: Entry;
  board: Board;
  lengthOf: (index: number) => number;
  /** Called for a chunk that is not what its record says. */
  wrong: (index: number) => Promise<void>;
  signal: AbortSignal;
}

/**
 * Reads the chunks back in their order, as they arrive, checks each against its record, and takes the digests of the
 * whole. What an earlier visit has stored is not trusted either.
 */
export async function seal({ entry, board, lengthOf, wrong, signal }: SealOptions): Promise<Sealed> {
  const hash = await FileHash.create();
  const chunks: string[] = [];
  let size = 0;
  while (await board.arrival(chunks.length)) {
    if (signal.aborted) break;
    const index = chunks.length;
    const digest = entry.record?.chunks.get(index) as string;
    const bytes = await readBack(entry, index, lengthOf(index));
    if (bytes) {
      hash.update(bytes);
      size += bytes.length;
      chunks.push(digest);
    } else {
      await wrong(index);
    }
  }
  if (signal.aborted) throw abortError(signal);
  board.close();
  return { digests: hash.digests(), size, chunks };
}

/** A chunk as it is stored, or undefined if that is not what its record says. */
async function readBack(entry: Entry, index: number, length: number): Promise<Bytes | undefined> {
  const bytes = await entry.get(index, length);
  if (bytes.length !== length) return undefined;
  return (await digestOf(bytes)) === entry.record?.chunks.get(index) ? bytes : undefined;
}

/** The storage gives back what it was not given. */
export function misread(index: number): BitxError {
  return new BitxError('io', `Chunk ${index} is read back as other bytes than were stored`);
}
