/**
 * Peers that are Python packages. They are installed into the target folder and do not change the
 * system's Python.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { time } from './measure.mjs';
import { mustBe } from './models.mjs';
import { memoryRows, processRow } from './rows.mjs';

const ZIPNN = '0.5.4';
const ZIPNN_SCRIPT = join(root, 'benches', 'peers', 'zipnn.py');
const LMZIP = '1.3.0';

const folder = (name) => join(root, 'target', 'bench-python', name);

export const zipnn = {
  name: `zipnn ${ZIPNN}`,
  prepare: () => install('zipnn', [`zipnn==${ZIPNN}`, 'numpy']),
  measure: (pair, { threads }) =>
    memoryRows(runZipnn(pair.model, threads, pair.base), zipnn.name, pair, threads),
  alone: (model, { threads }) => JSON.parse(runZipnn(model, threads).stdout).rows[0].bytes,
};

const runZipnn = (...args) => python('zipnn', [ZIPNN_SCRIPT, ...args]);

export const lmzip = {
  name: `lmzip ${LMZIP}`,
  prepare: () => install('lmzip', [`lmzip==${LMZIP}`, 'zstandard']),

  /** Appends the fine-tune to an archive of the base, which stores it as a difference. */
  measure(pair, { scratch, threads }) {
    const [both, restored] = ['both.lmz', 'restored'].map((name) => join(scratch, name));
    const base = baseArchive(pair.base, scratch, threads);
    copyFileSync(base, both);
    rmSync(restored, { force: true });
    const encoding = lmz('append', '-q', '-j', threads, both, pair.model);
    const decoding = lmz('extract', '-q', '-j', threads, both, basename(pair.model), restored);
    mustBe(restored, pair);
    const row = processRow(lmzip.name, pair, both, encoding, decoding, threads);
    return [{ ...row, bytes: row.bytes - statSync(base).size }];
  },

  alone: (model, { scratch, threads }) => statSync(baseArchive(model, scratch, threads)).size,
};

const lmz = (...args) => python('lmzip', ['-m', 'lmz', ...args]);

function baseArchive(model, scratch, threads) {
  const archive = join(scratch, `${basename(model)}.lmz`);
  if (!existsSync(archive)) lmz('compress', '-q', '-j', threads, model, archive);
  return archive;
}

function python(name, args) {
  return time('python3', args, { PYTHONPATH: folder(name) });
}

/**
 * Installs packages without their dependencies, unless they are installed. Returns a reason if that
 * fails.
 */
function install(name, packages) {
  const target = folder(name);
  if (existsSync(target)) return undefined;
  const options = ['--quiet', '--disable-pip-version-check', '--no-deps', '--target', target];
  const { status, error, stderr } = spawnSync('python3', ['-m', 'pip', 'install', ...options, ...packages], {
    encoding: 'utf8',
  });
  if (status === 0) return undefined;
  rmSync(target, { recursive: true, force: true });
  return `pip cannot install it: ${error?.message ?? stderr.trim().split('\n').pop()}`;
}
