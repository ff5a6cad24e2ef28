/**
 * The reference command line, from which the format BITXv001 comes: its installation and its
 * measurements.
 */
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

  /**
   * Measures one round, and returns rows of whole processes and of the decoding speed that the
   * reference prints.
   */
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

/**
 * The decoding speed that the reference prints, in MB/s of 10^6 bytes, without files and the start
 * of the process.
 */
function printedSpeed({ stderr }) {
  const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');
  const [, value, unit] = /Throughput\s+([\d.]+) ([MG])B\/s/.exec(stderr.replace(escapes, ''));
  // The reference prints MiB as MB, and GiB as GB from 1000 MB on.
  return Number(value) * (unit === 'G' ? 1024 : 1) * 1.048576;
}
