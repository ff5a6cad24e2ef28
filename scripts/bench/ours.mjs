/** Our command line: its build and its measurements. */
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { run } from '../lib/run.mjs';
import { time } from './measure.mjs';
import { mustBe } from './models.mjs';

const target = join(root, 'target');

/** Our formats and efforts: names, and the options that select each. */
export const FORMATS = [
  { name: 'bitx v2', how: [] },
  { name: 'bitx v2 fast', how: ['--effort', 'fast'] },
  { name: 'bitx v2 max', how: ['--effort', 'max'] },
  { name: 'bitx v1', how: ['--format', 'v1'] },
];
export const ours = {
  binary: join(target, 'release', `bitx${process.platform === 'win32' ? '.exe' : ''}`),
  prepare: () => run('cargo', ['build', '--release', '-p', 'bitx-cli', '--target-dir', target]),

  /** The arguments for compressing. `how` are the options that select format and effort. */
  compressArgs: (base, model, output, threads, how = []) => [
    ...['compress', base, model, '-o', output, '-f', '-j', threads, '--quiet', ...how],
  ],
  decompressArgs: (base, archive, output, threads) => [
    ...['decompress', base, archive, '-o', output, '-f', '-j', threads, '--quiet'],
  ],

  /** Makes an archive in each format in the scratch folder, and returns `[{ coder, bytes }]`. */
  archives: (name, base, model, { scratch, threads }, formats = FORMATS) =>
    formats.map(({ name: coder, how }) => {
      const path = archivePath(scratch, name, coder);
      time(ours.binary, ours.compressArgs(base, model, path, threads, how));
      return { coder, bytes: statSync(path).size };
    }),

  /**
   * Measures one round, and returns its rows. The archives of the pair must be in the scratch
   * folder.
   */
  measure: (pair, options) => [
    ...bench(pair, options.threads),
    ...(options.threads > 1 ? bench(pair, 1) : []),
    ...FORMATS.map((format) => decode(pair, format, options)),
    ...FORMATS.map((format) => encode(pair, format, options)),
  ],
};

export function archivePath(scratch, name, coder) {
  return join(scratch, `${name}.${coder.replaceAll(' ', '-')}.bitx`);
}

/** Runs `bitx bench`, which measures in memory, without disk access and the start of a process. */
function bench({ base, model }, threads) {
  const args = ['bench', base, model, '-j', threads, '--runs', '3', '--json'];
  return JSON.parse(time(ours.binary, args).stdout).results.map(
    ({ format, effort, encode_mb_s, decode_mb_s }) => ({
      coder: `bitx ${format}${['fast', 'max'].includes(effort) ? ` ${effort}` : ''}`,
      ...{ timed: 'memory', threads, encode_mb_s, decode_mb_s },
    }),
  );
}

function decode(pair, { name: coder }, { scratch, threads }) {
  const output = join(scratch, 'restored');
  rmSync(output, { force: true });
  const archive = archivePath(scratch, pair.name, coder);
  const { seconds } = time(ours.binary, ours.decompressArgs(pair.base, archive, output, threads));
  mustBe(output, pair);
  return { coder, timed: 'process', threads, decode_mb_s: pair.bytes / 1e6 / seconds };
}

function encode({ base, model, bytes }, { name: coder, how }, { scratch, threads }) {
  const output = join(scratch, 'archive');
  rmSync(output, { force: true });
  const { seconds } = time(ours.binary, ours.compressArgs(base, model, output, threads, how));
  return { coder, timed: 'process', threads, encode_mb_s: bytes / 1e6 / seconds };
}
