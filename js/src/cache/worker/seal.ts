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
  /** Called for a chunk that is not what its record says. */
  wrong: (index: number) => Promise<void>;
  signal: AbortSignal;
}

/**
 * Reads the chunks back in their order, as they arrive, and takes the digests of the whole. What an earlier visit has
 * stored is checked against its record first: much may have happened to it since.
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

/** The storage gives back what it was not given. */
export function misread(index: number): BitxError {
  return new BitxError('io', `Chunk ${index} is read back as other bytes than were stored`);
}
