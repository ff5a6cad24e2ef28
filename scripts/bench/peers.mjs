/**
 * What we are compared with. Each peer has a `name`; `prepare()`, which returns why it has to be left out if it has
 * to; `measure(pair, options)` for the rows of one round; and, where it can do without a base,
 * `alone(model, options)` for how many bytes it takes then.
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

/** The crate of the peers that are Rust libraries, and of the generator of large models. */
export const crate = {
  binary: join(target, 'release', `bitx-peers${process.platform === 'win32' ? '.exe' : ''}`),
  prepare: () =>
    run('cargo', ['build', '--release', '--locked', '--manifest-path', MANIFEST, '--target-dir', target], {
      // pcodec asks for this; our command line looks at the processor when it runs.
      env: { RUSTFLAGS: '-C target-cpu=native' },
    }),
};

const pco = {
  name: `pco ${PCO}`,
  prepare: () => undefined,
  measure: (pair, { threads }) =>
    memoryRows(time(crate.binary, ['pco', pair.base, pair.model, threads]), pco.name, pair, threads),
};

const zstdCommand = {
  name: 'zstd -3',
  prepare: () => undefined,
  measure(pair, { scratch }) {
    const [archive, restored] = ['archive', 'restored'].map((name) => join(scratch, name));
    for (const path of [archive, restored]) rmSync(path, { force: true });
    const patch = `--patch-from=${pair.base}`;
    // On one thread it finds more: several look for long matches only.
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

/** The same library, where its command line is missing. */
const zstdLibrary = {
  name: zstdCommand.name,
  prepare: () => undefined,
  measure: (pair) =>
    memoryRows(time(crate.binary, ['zstd', pair.base, pair.model]), zstdLibrary.name, pair, 1),
};

export const PEERS = [reference, pco, which('zstd') ? zstdCommand : zstdLibrary, zipnn, lmzip];
