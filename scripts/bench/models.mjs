/** The models that are measured: full-size ones beside the project if they are there, else the test vectors. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';

const FOLDERS = [join(root, '..', 'shared', 'models'), join(root, 'tests', 'vectors', 'mini')];
const PAIRS = ['sft-bf16', 'rl-bf16'];

/** The folder in use, and whether its models are large enough to say anything about speed. */
export function modelFolder() {
  const folder = FOLDERS.find((path) => existsSync(join(path, 'sft-bf16.v1.bitx')));
  return { folder, fullSize: folder === FOLDERS[0] };
}

/** Each pair with its fine-tune restored into `scratch` by the reference itself. */
export function preparePairs(folder, scratch, reference, threads) {
  return PAIRS.map((name) => {
    const base = join(folder, `base-${name.split('-').pop()}.safetensors`);
    const archive = join(folder, `${name}.v1.bitx`);
    const model = join(scratch, `${name}.safetensors`);
    reference.decompress(base, archive, model, threads);
    return { name, base, archive, model, bytes: statSync(model).size, sha256: sha256(model) };
  });
}

export function sha256(path) {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
