import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { modelBytes, modelPair, tensorsFor } from '../lib/random-models.mjs';
import { run } from '../lib/run.mjs';

/**
 * Makes a base of about `bytes` bytes, and the delta of a fine-tune, of which only the digest and
 * size are kept.
 */
export async function makeModels(folder, bytes, bitx) {
  const tensors = tensorsFor(bytes);
  const [base, target, delta] = ['base.safetensors', 'target.safetensors', 'delta.bitx'].map((name) =>
    join(folder, name),
  );
  const hash = createHash('sha256');
  await write(base, tensors, ({ base }) => base);
  await write(target, tensors, ({ target }) => {
    hash.update(target);
    return target;
  });
  await run(bitx, ['compress', '-f', '--effort', 'fast', base, target, '-o', delta]);
  await rm(target);
  return { base, delta, size: modelBytes(tensors), sha256: hash.digest('hex') };
}

async function write(path, tensors, pick) {
  const pieces = function* () {
    for (const pair of modelPair(tensors)) yield pick(pair);
  };
  await pipeline(Readable.from(pieces()), createWriteStream(path));
}
