/**
 * The rows of a round:
 * `{ coder, timed: 'memory' | 'process', threads, bytes, encode_mb_s, decode_mb_s }`.
 */
import { statSync } from 'node:fs';

/** The rows of a peer that measures itself in memory, from its output. */
export function memoryRows({ stdout }, name, pair, threads) {
  return JSON.parse(stdout).rows.map(({ method, bytes, encode_s, decode_s }) => ({
    ...{ coder: `${name} ${method}`, timed: 'memory', threads, bytes },
    ...{ encode_mb_s: pair.bytes / 1e6 / encode_s, decode_mb_s: pair.bytes / 1e6 / decode_s },
  }));
}

/** The row of a pair of whole processes, one that encodes and one that decodes. */
export function processRow(coder, pair, archive, encoding, decoding, threads) {
  const [encode_mb_s, decode_mb_s] = [encoding, decoding].map(({ seconds }) => pair.bytes / 1e6 / seconds);
  return { coder, timed: 'process', threads, bytes: statSync(archive).size, encode_mb_s, decode_mb_s };
}
