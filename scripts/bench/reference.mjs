/** The command line that BITXv001 comes from: how to get it, and how to measure it. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { run } from '../lib/run.mjs';
import { time } from './measure.mjs';
import { mustBe } from './models.mjs';
import { processRow } from './rows.mjs';

const VERSION = '0.1.0';
const folder = join(root, 'target', 'reference');

export const reference = {
  name: `bitx-codec ${VERSION}`,
  binary: join(folder, 'bin', `bitx${process.platform === 'win32' ? '.exe' : ''}`),

  async prepare() {
    if (existsSync(reference.binary)) return;
    await run('cargo', ['install', 'bitx-codec', '--version', VERSION, '--root', folder]);
  },

  compressArgs: (base, model, output, threads) => ['compress', base, model, '-o', output, '-j', threads],
  decompressArgs: (base, archive, output, threads) => [
    ...['decompress', base, archive, '-o', output, '-j', threads],
  ],

  /** Rows of one round: whole processes, and the speed that decoding printed. */
  measure(pair, { scratch, threads }) {
    const [restored, archive] = ['restored', 'archive'].map((name) => join(scratch, name));
    for (const path of [restored, archive]) rmSync(path, { force: true });
    const { binary, compressArgs, decompressArgs, name } = reference;
    const decoding = time(binary, decompressArgs(pair.base, pair.archive, restored, threads));
    mustBe(restored, pair);
    const encoding = time(binary, compressArgs(pair.base, pair.model, archive, threads));
    return [
      { coder: name, timed: 'memory', threads, decode_mb_s: printedSpeed(decoding) },
      processRow(name, pair, archive, encoding, decoding, threads),
    ];
  },
};

/** Compute only, in MB/s of 10^6 bytes. */
function printedSpeed({ stderr }) {
  const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');
  const [, value, unit] = /Throughput\s+([\d.]+) ([MG])B\/s/.exec(stderr.replace(escapes, ''));
  // It says MB for MiB, and from 1000 of them on GB for GiB.
  return Number(value) * (unit === 'G' ? 1024 : 1) * 1.048576;
}
