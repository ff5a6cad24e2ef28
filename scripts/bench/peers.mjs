/** The command lines that are compared: how to get each, and how to call it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { run } from '../lib/run.mjs';
import { time } from './measure.mjs';

const target = join(root, 'target');
const exe = process.platform === 'win32' ? '.exe' : '';

/** Our command line, built in release. */
export const ours = {
  name: 'bitx-wasm',
  binary: join(target, 'release', `bitx${exe}`),
  prepare: () => run('cargo', ['build', '--release', '--bin', 'bitx', '--target-dir', target]),
  decompress: (base, archive, output, threads) =>
    time(ours.binary, ['decompress', base, archive, '-o', output, '-j', threads, '--quiet']),
  /** `how` are the options that choose the format and the effort. */
  compress: (base, model, output, threads, how) =>
    time(ours.binary, ['compress', base, model, '-o', output, '-j', threads, '--quiet', ...how]),
  /** One run of `bitx bench`: rows of `{ format, effort, ratio, encode_mb_s, decode_mb_s }`. */
  bench(base, model, threads) {
    const args = ['bench', base, model, '-j', threads, '--runs', '1', '--json'];
    return JSON.parse(time(ours.binary, args).stdout).results;
  },
};

const REFERENCE_VERSION = '0.1.0';
const referenceRoot = join(target, 'reference');

/** The command line that BITXv001 comes from. */
export const reference = {
  name: `bitx-codec ${REFERENCE_VERSION}`,
  binary: join(referenceRoot, 'bin', `bitx${exe}`),
  async prepare() {
    if (existsSync(reference.binary)) return;
    await run('cargo', ['install', 'bitx-codec', '--version', REFERENCE_VERSION, '--root', referenceRoot]);
  },
  decompress: (base, archive, output, threads) =>
    time(reference.binary, ['decompress', base, archive, '-o', output, '-j', threads]),
  compress: (base, model, output, threads) =>
    time(reference.binary, ['compress', base, model, '-o', output, '-j', threads]),
  /** The speed that a run of it printed, compute only, in MB/s of 10^6 bytes. */
  printedSpeed({ stderr }) {
    const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');
    const [, value, unit] = /Throughput\s+([\d.]+) ([MG])B\/s/.exec(stderr.replace(escapes, ''));
    // It says MB for MiB, and from 1000 of them on GB for GiB.
    return Number(value) * (unit === 'G' ? 1024 : 1) * 1.048576;
  },
};

/** Our formats: how each is asked for, and the row of `bitx bench` that measures it. */
export const FORMATS = [
  { label: 'v2', how: [], row: { format: 'v2', effort: 'default' } },
  { label: 'v2 fast', how: ['--effort', 'fast'], row: { format: 'v2', effort: 'fast' } },
  { label: 'v1', how: ['--format', 'v1'], row: { format: 'v1', effort: '3' } },
];

/** What ours is compared with. */
export const PEERS = [reference];
