import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Writes the folders of a base and of a fine-tune, whose tensors are sharded in different ways,
 * with small files beside them.
 */
export function writeFolders(place) {
  const folders = { base: join(place, 'base'), tuned: join(place, 'tuned') };
  const tensors = Array.from({ length: 6 }, (_, i) => [`layers.${i}.weight`, weights(i)]);
  const tuned = tensors.map(([name, words]) => [name, words.map((word, i) => (i % 9 ? word : word + 1))]);
  for (const [name, all, cut] of [
    ['base', tensors, 2],
    ['tuned', tuned, 4],
  ]) {
    const folder = folders[name];
    mkdirSync(join(folder, 'sub'), { recursive: true });
    writeFileSync(join(folder, 'model-1.safetensors'), safetensors(all.slice(0, cut)));
    writeFileSync(join(folder, 'model-2.safetensors'), safetensors(all.slice(cut)));
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ layers: 6, name }));
    writeFileSync(join(folder, 'sub', 'notes.txt'), `the notes of ${name}\n`.repeat(50));
  }
  return folders;
}

/** Returns BF16 of either sign, with the exponents of typical weights, from a seed. */
function weights(seed) {
  let state = seed + 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 12;
  };
  return Uint16Array.from({ length: 64 * 256 }, () => ((next() & 1) << 15) | ((next() % 1024) + 0x3c00));
}

function safetensors(tensors) {
  let at = 0;
  const places = tensors.map(([name, words]) => {
    const offsets = [at, at + words.byteLength];
    at += words.byteLength;
    return [name, { dtype: 'BF16', shape: [64, words.length / 64], data_offsets: offsets }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(places)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, ...tensors.map(([, words]) => Buffer.from(words.buffer))]);
}

/** Returns the SHA-256 of all files of a folder by path. */
export function digests(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  const entries = files.map((file) => {
    const path = join(file.parentPath ?? file.path, file.name);
    const digest = createHash('sha256').update(readFileSync(path)).digest('hex');
    return [path.slice(folder.length + 1).replaceAll('\\', '/'), digest];
  });
  return Object.fromEntries(entries);
}
