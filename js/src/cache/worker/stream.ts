import { abortError, BitxError, type Bytes } from '../../common/index.js';
import { Board } from './board.js';
import { digestOf } from './hashes.js';
import type { Meter } from './meter.js';
import type { PartMeta } from './records.js';
import { misread, type Sealed, seal } from './seal.js';
import type { Entry } from './stores/store.js';
import { together } from './together.js';

/** Stores a file that arrives from front to back, in an entry that has begun. */
export async function storeStream(
  entry: Entry,
  meta: PartMeta,
  parts: AsyncIterable<Bytes>,
  meter: Meter,
): Promise<Sealed> {
  meter.begin(0, meta.size);
  const board = new Board(Number.POSITIVE_INFINITY);
  const stop = new AbortController();
  const lengths: number[] = [];
  const store = async () => {
    for await (const chunk of cut(parts, meta.chunkSize, meter)) {
      if (stop.signal.aborted) return;
      if (lengths.length === 0) refuseImpostors(chunk, meta.url);
      const index = lengths.push(chunk.length) - 1;
      await entry.put(index, chunk, await digestOf(chunk));
      board.arrived(index);
    }
    board.end(lengths.length);
  };
  const lengthOf = (index: number) => lengths[index] as number;
  // A stream cannot send a part again.
  const wrong = async (index: number) => {
    throw misread(index);
  };
  const sealing = seal({ entry, board, lengthOf, wrong, signal: stop.signal });
  return together(board, stop, [sealing, store()]);
}

/** Yields the parts of a Blob. */
export async function* partsOf(blob: Blob, signal: AbortSignal): AsyncGenerator<Bytes, void> {
  const reader = blob.stream().getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (signal.aborted) throw abortError(signal);
    yield part.value;
  }
}

/**
 * Cuts a stream into chunks of one size, of which only the last may be shorter. Each is valid until
 * the next.
 */
async function* cut(
  parts: AsyncIterable<Bytes>,
  chunkSize: number,
  meter: Meter,
): AsyncGenerator<Bytes, void> {
  const chunk = new Uint8Array(chunkSize);
  let filled = 0;
  for await (const part of parts) {
    for (let at = 0; at < part.length; ) {
      const piece = part.subarray(at, at + chunkSize - filled);
      chunk.set(piece, filled);
      at += piece.length;
      filled += piece.length;
      meter.add(piece.length);
      if (filled === chunkSize) {
        yield chunk;
        filled = 0;
      }
    }
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}

/** Throws for a page or a pointer that a server has sent in place of a model. */
export function refuseImpostors(beginning: Bytes, url: string): void {
  const text = new TextDecoder('latin1').decode(beginning.subarray(0, 64)).trimStart().toLowerCase();
  if (text.startsWith('<!doctype html') || text.startsWith('<html')) {
    throw new BitxError('format', `${url} is an HTML page and not a model`, { url });
  }
  if (text.startsWith('version https://git-lfs')) {
    throw new BitxError('format', `${url} is a git-lfs pointer and not a model`, { url });
  }
}
