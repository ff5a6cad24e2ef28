import { abortError, BitxError } from '../../common/index.js';
import type { Digests } from '../integrity.js';
import type { Board } from './board.js';
import { digestOf, FileHash } from './hashes.js';
import type { Entry } from './stores/store.js';

/** The digests and the size of a whole file. */
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
  /** Called for a chunk whose bytes do not match its record. */
  wrong: (index: number) => Promise<void>;
  signal: AbortSignal;
}

/**
 * Reads the chunks in order, as they arrive, and computes the digests of the file. Chunks from an
 * earlier visit are checked against their record first, since they may have been damaged meanwhile.
 */
export async function seal({ entry, board, lengthOf, wrong, signal }: SealOptions): Promise<Sealed> {
  const hash = await FileHash.create();
  const chunks: string[] = [];
  let size = 0;
  while (await board.arrival(chunks.length)) {
    if (signal.aborted) break;
    const index = chunks.length;
    const digest = entry.record?.chunks.get(index) as string;
    const length = lengthOf(index);
    const bytes = await entry.get(index, length);
    const right = bytes.length === length && (board.isFresh(index) || (await digestOf(bytes)) === digest);
    if (right) {
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

/** Returns the error for storage that does not return the bytes that were stored. */
export function misread(index: number): BitxError {
  return new BitxError('io', `The storage returned other bytes for chunk ${index} than were stored`);
}
