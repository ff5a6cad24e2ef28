/** The size of each model in each coder: `{ name, raw, rows: [{ coder, bytes }] }`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tensorBytes } from './models.mjs';
import { FORMATS, ours } from './ours.mjs';
import { reference } from './peers.mjs';

/**
 * Measures a fine-tune against its base. Most peers are measured on BF16 only, which all of them
 * support.
 */
export function pairSizes(pair, peers, options) {
  const compared = pair.name.endsWith('bf16') ? peers : [reference];
  const rows = compared.flatMap((peer) => peer.measure(pair, options)).filter(({ bytes }) => bytes);
  const theirs = rows.map(({ coder, bytes }) => ({ coder, bytes }));
  const mine = ours.archives(pair.name, pair.base, pair.model, options);
  return { name: pair.name, raw: pair.raw, rows: [...theirs, ...mine] };
}

/**
 * Measures a model without a base. Our command line gets an empty file as the base, which only v2
 * supports.
 */
export function aloneSizes(model, peers, options) {
  const empty = join(options.scratch, 'empty');
  writeFileSync(empty, '');
  const alone = peers.filter((peer) => peer.alone);
  const theirs = alone.map((peer) => ({ coder: peer.name, bytes: peer.alone(model, options) }));
  const v2 = FORMATS.filter(({ name }) => name !== 'bitx v1');
  const mine = ours.archives('alone', empty, model, options, v2);
  return { name: 'base-bf16 alone', raw: tensorBytes(model), rows: [...theirs, ...mine] };
}
