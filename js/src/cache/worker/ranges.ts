import { type Answer, type Bytes, fetchRange, Patience, type Remote, Restart } from '../../common/index.js';
import type { Settings } from '../messages.js';
import { Board } from './board.js';
import { digestOf } from './hashes.js';
import type { Meter } from './meter.js';
import { chunkLength, type PartMeta, storedBytes } from './records.js';
import { misread, type Sealed, seal } from './seal.js';
import type { Entry } from './stores/store.js';
import { refuseImpostors } from './stream.js';
import { together } from './together.js';

export interface RangesOptions {
  entry: Entry;
  /** The head of the entry's record. */
  meta: PartMeta & { size: number };
  remote: Remote;
  settings: Settings;
  meter: Meter;
  /** Stops all transfers when one of them fails. */
  stop: AbortController;
  /** Aborted by the caller or by `stop`. */
  signal: AbortSignal;
}

/** The number of times that the storage may return wrong bytes for a chunk. */
const MOST_MISREADS = 3;

/**
 * Fetches the missing chunks of an entry, several at a time. `first` is the answer that has begun
 * to bring chunk 0.
 */
export async function fetchChunks(options: RangesOptions, first?: Answer): Promise<Sealed> {
  const { entry, meta, settings, meter, stop, signal } = options;
  const there = entry.record?.chunks ?? new Map<number, string>();
  const board = new Board(Math.ceil(meta.size / meta.chunkSize), there.keys());
  meter.begin(storedBytes({ meta, chunks: there }), meta.size);
  const lengthOf = (index: number) => chunkLength(index, meta);
  const opened = new Map(first ? [[0, first]] : []);
  const fetcher = async () => {
    const buffer = new Uint8Array(Math.min(meta.chunkSize, meta.size));
    for (let index = await board.next(); index !== undefined; index = await board.next()) {
      const bytes = await fetchChunk(options, index, buffer, opened.get(index));
      opened.delete(index);
      await storeChunk(options, index, bytes);
      board.arrived(index);
    }
  };
  const misreads = new Map<number, number>();
  const wrong = async (index: number) => {
    const count = (misreads.get(index) ?? 0) + 1;
    misreads.set(index, count);
    if (count > MOST_MISREADS) throw misread(index);
    await entry.forget(index);
    meter.add(-lengthOf(index));
    board.redo(index);
  };
  const fetchers = Array.from({ length: settings.connections }, fetcher);
  return together(board, stop, [seal({ entry, board, lengthOf, wrong, signal }), ...fetchers]);
}

async function storeChunk({ entry, meta }: RangesOptions, index: number, bytes: Bytes): Promise<void> {
  if (index === 0) refuseImpostors(bytes, meta.url);
  const digest = await digestOf(bytes);
  if (meta.expected && meta.expected[index] !== digest) {
    throw new Restart(meta.url, 'changed', {}, 'differs from the file that was damaged');
  }
  await entry.put(index, bytes, digest);
}

/** Fetches one chunk into a buffer. */
async function fetchChunk(
  options: RangesOptions,
  index: number,
  buffer: Bytes,
  opened?: Answer,
): Promise<Bytes> {
  const { meta, remote, settings, meter, signal } = options;
  const chunk = buffer.subarray(0, chunkLength(index, meta));
  const start = index * meta.chunkSize;
  const take = (part: Bytes, at: number) => {
    chunk.set(part, at - start);
    meter.add(part.length);
  };
  const drop = (bytes: number) => meter.add(-bytes);
  const patience = new Patience(settings, signal);
  await fetchRange({ remote, start, end: start + chunk.length, patience, take, drop }, opened);
  return chunk;
}
