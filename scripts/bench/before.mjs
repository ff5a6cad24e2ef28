/**
 * This version of the project beside an older one, which was built in a checkout of its own. Both
 * run in turns on the same pairs, each with archives of its own.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageDist, root } from '../lib/paths.mjs';
import { blank, measurePackages, withPage } from './chromium.mjs';
import { ratio, summary } from './figures.mjs';
import { interleave, time } from './measure.mjs';
import { modelFolder, mustBe, preparePairs, TIMED_NAMES } from './models.mjs';
import { archivePath, ours } from './ours.mjs';
import { crate, reference } from './peers.mjs';

/** The measured pairs by the short names of the table. */
const SHORT = { 'sft-bf16': 'sft', 'rl-bf16': 'rl' };
/** The measurements in Chromium, by the fields of their samples. */
const IN_CHROMIUM = {
  decode_mb_s: 'in the codec',
  restore_mb_s: 'Blob to Blob',
  stream_mb_s: 'private files to a stream',
  file_mb_s: 'private files to a private file',
};

/**
 * Measures the checkout in `folder` and this one, and returns rows `{ what, pair, before, now }`
 * with the speeds of all rounds in MB/s. The checkout needs `npm run build` and
 * `cargo build --release`.
 */
export async function measureBefore(folder, options, say) {
  const versions = [
    { binary: join(folder, 'target', 'release', 'bitx'), dist: join(folder, 'js', 'dist') },
    { binary: ours.binary, dist: packageDist },
  ];
  await Promise.all([ours, crate, reference].map((coder) => coder.prepare()));
  for (const { binary, dist } of versions) {
    for (const path of [binary, join(dist, 'index.js')])
      if (!existsSync(path)) throw new Error(`${path} is missing: build that checkout first`);
  }
  const pairs = preparePairs(modelFolder().folder, options.scratch, reference, options.threads);
  const rows = [];
  for (const pair of pairs.filter(({ name }) => TIMED_NAMES.includes(name))) {
    say(`${pair.name}, native`);
    rows.push(...native(pair, versions, options));
    say(`${pair.name}, Node and Chromium`);
    rows.push(...cold(pair, versions, options));
    rows.push(...(await restoring(pair, versions, options)));
    rows.push(await compressing(pair, versions, options));
  }
  return rows;
}

/** Measures `bitx bench` with each number of threads, and both commands as whole processes. */
function native(pair, versions, { scratch, threads, runs }) {
  const { base, model, bytes } = pair;
  const output = join(scratch, 'output');
  const archives = versions.map((_, index) => archivePath(scratch, pair.name, `version ${index}`));
  const speed = ({ seconds }) => bytes / 1e6 / seconds;
  const rounds = interleave(
    runs,
    versions.map(({ binary }, index) => () => {
      const encoded = time(binary, ours.compressArgs(base, model, archives[index], threads));
      const decoded = time(binary, ours.decompressArgs(base, archives[index], output, threads));
      mustBe(output, pair);
      const memory = [1, threads].map((count) => inMemory(binary, pair, count));
      return [speed(encoded), speed(decoded), ...memory.flat()];
    }),
  );
  const counted = [1, threads].map((count) => `in memory, threads: ${count}`);
  const names = ['process', ...counted].flatMap((how) => [`encode, ${how}`, `decode, ${how}`]);
  return names.map((what, at) => ({
    ...{ what, pair: pair.name },
    ...{ before: rounds[0].map((round) => round[at]), now: rounds[1].map((round) => round[at]) },
  }));
}

/** Returns the speeds of `default` in memory: encoding, decoding. */
function inMemory(binary, { base, model }, threads) {
  const { stdout } = time(binary, ['bench', base, model, '-j', threads, '--runs', '3', '--json']);
  const { encode_mb_s, decode_mb_s } = JSON.parse(stdout).results[0];
  return [encode_mb_s, decode_mb_s];
}

/** Measures the first restore of a process of Node, with one thread. */
function cold(pair, versions, { scratch, runs }) {
  const script = join(root, 'scripts', 'bench', 'cold.mjs');
  const [before, now] = interleave(
    runs,
    versions.map(({ dist }, index) => () => {
      const delta = archivePath(scratch, pair.name, `version ${index}`);
      const { stdout, stderr, status } = spawnSync(process.execPath, [script, dist, pair.base, delta]);
      if (status !== 0) throw new Error(`${stderr}`);
      return pair.bytes / 1e6 / Number(stdout);
    }),
  );
  return [{ what: 'first restore, Node, threads: 1', pair: pair.name, before, now }];
}

async function restoring(pair, versions, { scratch, threads, runs }) {
  const packages = versions.map(({ dist }, index) => ({
    dist,
    delta: archivePath(scratch, pair.name, `version ${index}`),
  }));
  const modes = ['threads', 'single'];
  const measured = await measurePackages({ base: pair.base, packages, threads, runs, modes });
  for (const { sha256 } of measured)
    if (sha256 !== pair.sha256) throw new Error(`${pair.name}: Chromium restored the wrong bytes`);
  return modes.flatMap((mode) => {
    const [before, now] = measured.filter(({ wanted }) => wanted === mode).map(({ samples }) => samples);
    return Object.entries(IN_CHROMIUM).map(([name, what]) => ({
      ...{ what: `Chromium, ${mode}, ${what}`, pair: pair.name },
      ...{ before: before[name], now: now[name] },
    }));
  });
}

/** Measures compressing in a page that is not isolated, where threads cannot share memory. */
async function compressing(pair, versions, { threads, runs }) {
  const mounts = { '/': blank, '/base': pair.base, '/model': pair.model };
  for (const [index, { dist }] of versions.entries()) mounts[`/bitx-${index}/`] = dist;
  const samples = await withPage({ mounts, isolated: false }, (page) =>
    page.evaluate(compressInPage, { count: versions.length, threads, runs }),
  );
  const [before, now] = samples.map((times) => times.map((seconds) => pair.bytes / 1e6 / seconds));
  return { what: 'Chromium, compressing, not isolated', pair: pair.name, before, now };
}

/** Runs in the page: returns the seconds of each round for each package. */
async function compressInPage({ count, threads, runs }) {
  const blob = async (name) => (await fetch(`/${name}`)).blob();
  const [base, target] = await Promise.all(['base', 'model'].map(blob));
  const packages = [];
  for (let index = 0; index < count; index++) {
    const { Bitx } = await import(`/bitx-${index}/index.js`);
    packages.push(await Bitx.create({ threads }));
  }
  const samples = packages.map(() => []);
  for (let run = 0; run <= runs; run++) {
    for (const [index, bitx] of packages.entries()) {
      const begun = performance.now();
      await bitx.compress({ base, target });
      // The first round is a warm-up.
      if (run > 0) samples[index].push((performance.now() - begun) / 1000);
    }
  }
  return samples;
}

/** Converts the rows of `measureBefore` to a table. */
export function beforeTable(rows, folder) {
  const { stdout } = spawnSync('git', ['-C', folder, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' });
  const cells = rows.map(({ what, pair, before, now }) => {
    const { median, least, most } = ratio(now, before);
    const middle = (samples) => summary(samples).median.toFixed(0);
    const rounds = `${least.toFixed(2)} to ${most.toFixed(2)}`;
    return [`${what}, ${SHORT[pair]}`, middle(before), middle(now), median.toFixed(2), rounds];
  });
  const note = 'Median speeds in MB/s, and their ratio with the extremes of single rounds.';
  return {
    title: `Beside ${stdout.trim()}`,
    note,
    head: ['what', 'before', 'now', 'ratio', 'rounds'],
    rows: cells,
  };
}
