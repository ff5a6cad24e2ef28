import type { Validator } from '../../common/index.js';
import type { ModelInfo } from '../types.js';

/** The head of the record of an incomplete model. */
export interface PartMeta {
  url: string;
  chunkSize: number;
  /** Size of the complete model in bytes, if the server told it. */
  size?: number | undefined;
  /** `true` if the server supports ranges. */
  ranged: boolean;
  validator: Validator;
  labels: Record<string, string>;
  /** The digests of all chunks, if the model was complete once and is being repaired. */
  expected?: string[] | undefined;
}

/** The description of a complete model. It is written last; without it, a model is incomplete. */
export interface Manifest extends ModelInfo {
  version: 1;
  chunkSize: number;
  /** SHA-256 of every chunk, in hex. */
  chunks: string[];
  validator: Validator;
}

/** The record of an incomplete model. */
export interface PartRecord {
  meta: PartMeta;
  /** SHA-256 of the stored chunks in hex, by index. */
  chunks: Map<number, string>;
}

export function encode(record: PartMeta | Manifest): string {
  return JSON.stringify(record);
}

/** Parses a manifest; returns undefined if it was cut off or overwritten. */
export function decodeManifest(text: string): Manifest | undefined {
  const value = parse(text) as Partial<Manifest> | undefined;
  if (value?.version !== 1 || !Array.isArray(value.chunks)) return undefined;
  const { size, chunkSize, chunks } = value;
  const sound = isCount(size) && isCount(chunkSize) && chunks.length === Math.ceil(size / chunkSize);
  return sound ? (value as Manifest) : undefined;
}

export function decodeMeta(text: string): PartMeta | undefined {
  const value = parse(text) as Partial<PartMeta> | undefined;
  return typeof value?.url === 'string' && isCount(value.chunkSize) ? (value as PartMeta) : undefined;
}

/** Returns the record for the repair of a damaged model. Every chunk is checked again. */
export function demoted({ chunks, url, size, chunkSize, validator, labels }: Manifest): PartRecord {
  return {
    meta: { url, size, chunkSize, validator, labels, ranged: true, expected: chunks },
    chunks: new Map(chunks.entries()),
  };
}

export function infoOf({ url, size, sha256, blake3, storedAt, labels }: Manifest): ModelInfo {
  return { url, size, sha256, blake3, storedAt, labels };
}

/** Returns the length of a chunk in bytes; only the last one may be shorter. */
export function chunkLength(index: number, { size, chunkSize }: { size: number; chunkSize: number }): number {
  return Math.min(chunkSize, size - index * chunkSize);
}

/** Returns the number of stored bytes of an incomplete model. */
export function storedBytes({ meta: { size, chunkSize }, chunks }: PartRecord): number {
  const whole = { size: size ?? Number.POSITIVE_INFINITY, chunkSize };
  return [...chunks.keys()].reduce((sum, index) => sum + chunkLength(index, whole), 0);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
