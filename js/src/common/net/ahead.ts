import type { Bytes } from '../bytes.js';

/** The length of a small range, which may be read with the bytes behind it. */
const SMALL = 4 << 10;
/** The distance from the bytes read last at which reading further ahead is likely to pay. */
const NEAR = 1 << 20;
/** The fewest and the most bytes to read at once for a small range that follows another. */
const LEAST_AHEAD = 64 << 10;
const MOST_AHEAD = 2 << 20;
/** The length from which bytes that were read ahead are worth a further request around them. */
const WORTH = 256 << 10;
/** The number of blocks of a file that are kept for later ranges, at most: 16 MiB. */
const MOST_KEPT = 8;
/** The number of blocks of all files that are kept, at most: a model may have many files. */
const MOST_OF_ALL = 16;
const NOTHING = new Uint8Array();

/** Bytes of a file and their place. */
interface Block {
  start: number;
  bytes: Bytes;
}

/** The blocks of all files that are kept, in the order in which they were read. */
const all: Block[] = [];

type Read = (offset: number, length: number) => Promise<Bytes>;

/**
 * Reads more than a small range if small ranges follow one another: a survey of a model reads a few
 * bytes of every tensor, and a request for each would take longer than the bytes between them. What
 * was read ahead is kept until a larger range takes it.
 */
export function readingAhead(size: number, head: Block, read: Read): Read {
  let [last, step] = [head, 0];
  let kept: Block[] = [];
  return async (offset, length) => {
    const end = offset + length;
    if (length > SMALL) {
      const range = await around(kept, offset, end, read);
      // Larger ranges come in order, so that the end of a block is taken last.
      for (const block of kept) if (endOf(block) > offset && endOf(block) <= end) forget(block);
      kept = kept.filter(({ bytes }) => bytes.length);
      return range;
    }
    const known = endOf(last);
    if (offset < last.start || end > known) {
      step =
        Math.abs(offset - known) < NEAR
          ? Math.min(step * 2 || LEAST_AHEAD, MOST_AHEAD)
          : Math.min(step, LEAST_AHEAD);
      // Blocks without gaps need no request between them.
      const start = offset >= known && offset - known < LEAST_AHEAD ? known : offset;
      const needed = Math.max(end - start, step);
      last = { start, bytes: await read(start, Math.min(needed, size - start)) };
      if (last.bytes.length >= WORTH && kept.length < MOST_KEPT) kept.push(keep({ ...last }));
    }
    return last.bytes.slice(offset - last.start, end - last.start);
  };
}

/** Keeps a block in place of the one that has been kept for longest, if there are too many. */
function keep(block: Block): Block {
  all.push(block);
  if (all.length > MOST_OF_ALL) forget(all[0] as Block);
  return block;
}

/** Frees the bytes of a block. */
function forget(block: Block): void {
  block.bytes = NOTHING;
  const at = all.indexOf(block);
  if (at >= 0) all.splice(at, 1);
}

function endOf({ start, bytes }: Block): number {
  return start + bytes.length;
}

/** Returns the number of bytes that a block has of a range. */
function shared(block: Block, offset: number, end: number): number {
  return Math.min(end, endOf(block)) - Math.max(offset, block.start);
}

/** Reads the bytes of a range that the blocks lack, and returns all of them. */
async function around(blocks: Block[], offset: number, end: number, read: Read): Promise<Bytes> {
  const worth = (at: number, to: number) => blocks.find((block) => shared(block, at, to) >= WORTH);
  if (!worth(offset, end)) return read(offset, end - offset);
  const range = new Uint8Array(end - offset);
  const fill = async (at: number, to: number): Promise<void> => {
    const block = worth(at, to);
    if (!block) {
      if (to > at) range.set(await read(at, to - at), at - offset);
      return;
    }
    const [from, until] = [Math.max(at, block.start), Math.min(to, endOf(block))];
    range.set(block.bytes.subarray(from - block.start, until - block.start), from - offset);
    await Promise.all([fill(at, from), fill(until, to)]);
  };
  await fill(offset, end);
  return range;
}
