import { type Bytes, Patience, Transient } from '../../common/index.js';
import type { Settings } from '../messages.js';
import { Board } from './board.js';
import { digestOf } from './hashes.js';
import type { Meter } from './meter.js';
import { chunkLength, type PartMeta, storedBytes } from './records.js';
import { type Answer, type Remote, Restart } from './remote.js';
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
    throw new Restart(meta.url, 'it differs from the file that was damaged', true);
  }
  await entry.put(index, bytes, digest);
}

/** Fetches one chunk into a buffer, and resumes a transfer that breaks off. */
async function fetchChunk(
  options: RangesOptions,
  index: number,
  buffer: Bytes,
  opened?: Answer,
): Promise<Bytes> {
  const { meta, remote, settings, meter, signal } = options;
  const chunk = buffer.subarray(0, chunkLength(index, meta));
  const start = index * meta.chunkSize;
  const patience = new Patience(settings, signal);
  let filled = 0;
  const take = (part: Bytes) => {
    if (part.length > chunk.length - filled) {
      // After such an answer, the bytes before it are not reliable either.
      meter.add(-filled);
      filled = 0;
      throw remote.wrongRange(`${chunk.length} bytes`, 'more');
    }
    chunk.set(part, filled);
    filled += part.length;
    meter.add(part.length);
  };
  for (let answer = opened; filled < chunk.length; answer = undefined) {
    const before = filled;
    try {
      answer ??= await remote.range(start + filled, start + chunk.length);
      await pour(answer, take, meta.url);
      if (filled === before) throw new Transient(`${meta.url} sent an empty range`, { url: meta.url });
    } catch (error) {
      if (filled > before) patience.renew();
      await patience.after(error);
    }
  }
  return chunk;
}

async function pour({ transfer, ranged }: Answer, take: (part: Bytes) => void, url: string): Promise<void> {
  try {
    if (!ranged) throw new Restart(url, 'the server no longer sends ranges', false);
    for await (const part of transfer.parts()) take(part);
  } finally {
    transfer.end();
  }
}
