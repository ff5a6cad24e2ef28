import { BitxError, messageOf } from '../errors.js';
import type { Source, Sources } from '../protocol.js';

/** A range of one input. */
export interface Read {
  source: Source;
  offset: number;
  length: number;
}

/** Reads closer together than this are fetched as one: each read costs a trip to another process. */
const GAP = 64 << 10;

/** Several reads of one source, served by one range. */
interface Span {
  source: Source;
  start: number;
  end: number;
  members: { index: number; read: Read }[];
}

/** Reads the given ranges, in their order. */
export async function readAll(sources: Sources, reads: readonly Read[]): Promise<Uint8Array[]> {
  const results: Uint8Array[] = new Array(reads.length);
  await Promise.all(
    spansOf(reads).map(async ({ source, start, end, members }) => {
      const bytes = await readRange(sources, source, start, end);
      for (const { index, read } of members) {
        results[index] = bytes.subarray(read.offset - start, read.offset - start + read.length);
      }
    }),
  );
  return results;
}

function spansOf(reads: readonly Read[]): Span[] {
  const ordered = reads
    .map((read, index) => ({ read, index }))
    .sort((a, b) => a.read.source.localeCompare(b.read.source) || a.read.offset - b.read.offset);
  const spans: Span[] = [];
  for (const member of ordered) {
    const { source, offset, length } = member.read;
    const last = spans.at(-1);
    if (last?.source === source && offset <= last.end + GAP) {
      last.end = Math.max(last.end, offset + length);
      last.members.push(member);
    } else {
      spans.push({ source, start: offset, end: offset + length, members: [member] });
    }
  }
  return spans;
}

async function readRange(sources: Sources, source: Source, start: number, end: number): Promise<Uint8Array> {
  const blob = sources[source];
  if (!blob) throw new BitxError('internal', `the core asked for ${source}, which this call does not have`);
  const slice = await blob
    .slice(start, end)
    .arrayBuffer()
    .catch((cause: unknown) => {
      throw new BitxError('io', `${source} could not be read: ${messageOf(cause)}`, { file: source, cause });
    });
  if (slice.byteLength !== end - start) {
    const figures = { file: source, offset: start, expected: end - start, found: slice.byteLength };
    throw new BitxError('truncated', `${source} is shorter than it was when the call began`, figures);
  }
  return new Uint8Array(slice);
}
