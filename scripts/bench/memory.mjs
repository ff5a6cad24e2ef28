/**
 * The peak memory of decoding and encoding, as rows `{ what, coder, model, bytes, seconds, peak }`.
 */
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { peakMemory, time } from './measure.mjs';
import { sha256 } from './models.mjs';
import { archivePath, ours } from './ours.mjs';
import { crate, reference } from './peers.mjs';

/** Measures one pair, whose archives are in the scratch folder. */
export function pairMemory({ name, base, model, archive, bytes }, { scratch, threads }) {
  const output = join(scratch, 'output');
  const mine = archivePath(scratch, name, 'bitx v2');
  const measure = (what, coder, cli, args) => {
    rmSync(output, { force: true });
    return { what, coder, model: name, bytes, ...peakMemory(cli.binary, args) };
  };
  const max = ['--effort', 'max'];
  return [
    measure('decode', 'bitx v2', ours, ours.decompressArgs(base, mine, output, threads)),
    measure('encode', 'bitx v2', ours, ours.compressArgs(base, model, output, threads)),
    measure('encode', 'bitx v2 max', ours, ours.compressArgs(base, model, output, threads, max)),
    measure('decode', reference.name, reference, reference.decompressArgs(base, archive, output, threads)),
    measure('encode', reference.name, reference, reference.compressArgs(base, model, output, threads)),
  ];
}

/** Measures a generated pair of `gigabytes` GB each, which is deleted afterwards. */
export function largeMemory(gigabytes, { scratch, threads }) {
  const folder = join(scratch, 'large');
  const file = (name) => join(folder, name);
  const [base, model] = ['base.safetensors', 'target.safetensors'].map(file);
  const [archive, restored] = ['archive', 'restored'].map(file);
  mkdirSync(folder);
  try {
    time(crate.binary, ['generate', folder, gigabytes * 1e9]);
    const encode = peakMemory(ours.binary, ours.compressArgs(base, model, archive, threads));
    const decode = peakMemory(ours.binary, ours.decompressArgs(base, archive, restored, threads));
    if (sha256(restored) !== sha256(model))
      throw new Error('the generated pair: the restored bytes are wrong');
    const size = { bytes: statSync(model).size, archive: statSync(archive).size };
    const row = { coder: 'bitx v2', model: `generated, ${gigabytes} GB`, ...size };
    return [
      { what: 'decode', ...row, ...decode },
      { what: 'encode', ...row, ...encode },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
