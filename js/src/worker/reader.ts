import { BitxError, messageOf } from '../errors.js';
import type { Source, Sources } from '../protocol.js';
import { bytesOf } from './slices.js';

/** A range of one file; only the base may have several. */
export interface Read {
  source: Source;
  file: number;
  offset: number;
  length: number;
}

/** Reads the given ranges, in their order. The core has already joined those that lie close together. */
export function readAll(sources: Sources, reads: readonly Read[]): Promise<Uint8Array[]> {
  return Promise.all(reads.map((read) => readRange(sources, read)));
}

async function readRange(sources: Sources, { source, file, offset, length }: Read): Promise<Uint8Array> {
  const blob = sources[source]?.[file];
  if (!blob)
    throw new BitxError('internal', `the core asked for ${source} ${file}, which this call does not have`);
  const bytes = await bytesOf(blob.slice(offset, offset + length)).catch((cause: unknown) => {
    throw new BitxError('io', `${source} could not be read: ${messageOf(cause)}`, { file: source, cause });
  });
  if (bytes.byteLength !== length) {
    const figures = { file: source, offset, expected: length, found: bytes.byteLength };
    throw new BitxError('truncated', `${source} is shorter than it was when the call began`, figures);
  }
  return new Uint8Array(bytes);
}
