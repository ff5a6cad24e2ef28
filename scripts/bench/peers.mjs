/**
 * The peers: the coders that we are compared with. Each peer has:
 *
 * - `name`
 * - `prepare()`, which returns a reason if the peer cannot be used here
 * - `measure(pair, options)`, which returns the rows of one round
 * - `alone(model, options)`, if it can compress without a base, which returns the size in bytes
 */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { run, which } from '../lib/run.mjs';
import { time } from './measure.mjs';
import { mustBe } from './models.mjs';
import { lmzip, zipnn } from './python.mjs';
import { reference } from './reference.mjs';
import { memoryRows, processRow } from './rows.mjs';

export { reference };

const MANIFEST = join(root, 'benches', 'peers', 'Cargo.toml');
const PCO = /^pco = "=(.*)"$/m.exec(readFileSync(MANIFEST, 'utf8'))[1];
const target = join(root, 'target', 'peers');

/** The program with the peers that are Rust libraries, and with the generator of large models. */
export const crate = {
  binary: join(target, 'release', `bitx-peers${process.platform === 'win32' ? '.exe' : ''}`),
  prepare: () =>
    run('cargo', ['build', '--release', '--locked', '--manifest-path', MANIFEST, '--target-dir', target], {
      // pcodec needs this flag to use the processor fully. Our command line detects the processor
      // at run time.
      env: { RUSTFLAGS: '-C target-cpu=native' },
    }),
};

const pco = {
  name: `pco ${PCO}`,
  prepare: () => undefined,
  measure: (pair, { threads }) =>
    memoryRows(time(crate.binary, ['pco', pair.base, pair.model, threads]), pco.name, pair, threads),
};

const xor = {
  name: 'xor + zstd',
  prepare: () => undefined,
  measure: (pair, { threads }) =>
    memoryRows(time(crate.binary, ['xor', pair.base, pair.model, threads]), xor.name, pair, threads),
};

const zstdCommand = {
  name: 'zstd -3',
  prepare: () => undefined,
  measure(pair, { scratch }) {
    const [archive, restored] = ['archive', 'restored'].map((name) => join(scratch, name));
    for (const path of [archive, restored]) rmSync(path, { force: true });
    const patch = `--patch-from=${pair.base}`;
    // One thread compresses better: with several, zstd searches for long matches only.
    const encoding = time('zstd', ['-q', '-3', '--single-thread', patch, pair.model, '-o', archive]);
    const decoding = time('zstd', ['-q', '-d', patch, archive, '-o', restored]);
    mustBe(restored, pair);
    return [processRow(`${zstdCommand.name} patch`, pair, archive, encoding, decoding, 1)];
  },
  alone(model, { scratch }) {
    const archive = join(scratch, 'archive');
    time('zstd', ['-q', '-f', '-3', model, '-o', archive]);
    return statSync(archive).size;
  },
};

/** The zstd library, which is measured if the zstd command line is missing. */
const zstdLibrary = {
  name: zstdCommand.name,
  prepare: () => undefined,
  measure: (pair) =>
    memoryRows(time(crate.binary, ['zstd', pair.base, pair.model]), zstdLibrary.name, pair, 1),
};

export const PEERS = [reference, pco, xor, which('zstd') ? zstdCommand : zstdLibrary, zipnn, lmzip];
