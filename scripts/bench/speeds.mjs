/** The speeds of all coders on one pair, measured in turns, with a sample for each round. */
import { interleave } from './measure.mjs';

/**
 * Measures all coders on a pair, and returns
 * `{ name, bytes, samples: [{ coder, timed, threads, encode: [MB/s, ...], decode: [...] }] }`.
 */
export function pairSpeeds(pair, coders, { runs, ...options }) {
  const rounds = interleave(
    runs,
    coders.map((coder) => () => coder.measure(pair, options)),
  );
  const samples = new Map();
  for (const row of rounds.flat(2)) {
    const { coder, timed, threads, encode_mb_s, decode_mb_s } = row;
    const key = [coder, timed, threads].join();
    if (!samples.has(key)) samples.set(key, { coder, timed, threads, encode: [], decode: [] });
    if (encode_mb_s !== undefined) samples.get(key).encode.push(encode_mb_s);
    if (decode_mb_s !== undefined) samples.get(key).decode.push(decode_mb_s);
  }
  return { name: pair.name, bytes: pair.bytes, samples: [...samples.values()] };
}
