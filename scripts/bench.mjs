/**
 * Measures sizes, speeds and memory, and those of other coders on the same models, in turns and
 * with the same number of threads: `npm run bench -- [--runs K] [--threads N] [--browser] [--large
 * GB] [--json] [--dry]`.
 *
 * Prints tables, or the report itself with `--json`. Unless `--dry` is given, it also writes
 * docs/BENCHMARKS.md, the chart, and the figures in the README. `--browser` adds Chromium and needs
 * `npm run build` first. `--large GB` adds a generated pair of models of that size each, which
 * takes more than three times the size on disk.
 *
 * `npm run bench -- store [--gigabytes G] [--json]` measures the store instead, on a generated pair
 * of that size each. `npm run bench -- scale [--megabytes M,M,...]` measures models of several
 * sizes and writes docs/SCALING.md. `npm run bench -- store-scale [--models N,N,...]` counts the
 * requests of each operation in stores of so many models, and times them at 20 ms a request.
 * `npm run bench -- before FOLDER` runs this version and an older one in turns. FOLDER is a checkout
 * of the older one, with its package and its command line built.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { beforeTable, measureBefore } from './bench/before.mjs';
import { measureInChromium } from './bench/chromium.mjs';
import { largeMemory, pairMemory } from './bench/memory.mjs';
import { modelFolder, preparePairs, TIMED_NAMES } from './bench/models.mjs';
import { archivePath, ours } from './bench/ours.mjs';
import { crate, PEERS, reference } from './bench/peers.mjs';
import { printTables } from './bench/print.mjs';
import { writeReport } from './bench/report.mjs';
import { measureScale, scaleTable, writeScale } from './bench/scale.mjs';
import { aloneSizes, pairSizes } from './bench/sizes.mjs';
import { pairSpeeds } from './bench/speeds.mjs';
import { measureStore, storeTables } from './bench/store.mjs';
import { tablesOf } from './bench/tables.mjs';
import { packageDist, root } from './lib/paths.mjs';
import { run } from './lib/run.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    browser: { type: 'boolean', default: false },
    large: { type: 'string' },
    gigabytes: { type: 'string', default: '0.5' },
    models: { type: 'string', default: '100,1000,10000' },
    megabytes: { type: 'string', default: '45,450,4500' },
    json: { type: 'boolean', default: false },
    dry: { type: 'boolean', default: false },
  },
});
const runs = wholeNumber('runs');
const threads = wholeNumber('threads');
const large = values.large === undefined ? undefined : wholeNumber('large');
if (values.browser && !existsSync(join(packageDist, 'index.js')))
  fail('--browser needs the built package: run `npm run build` first');

const say = (text) => console.error(`== ${text}`);
const target = join(root, 'target');
mkdirSync(target, { recursive: true });
const scratch = mkdtempSync(join(target, 'bench-'));
try {
  if (positionals[0] === 'store') await store();
  else if (positionals[0] === 'scale') await scale();
  else if (positionals[0] === 'store-scale') await storeScale();
  else if (positionals[0] === 'before') await before(positionals[1]);
  else await codec();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function store() {
  const report = await measureStore({ scratch, threads, gigabytes: Number(values.gigabytes) }, say);
  if (values.json) console.log(JSON.stringify(report));
  else printTables(storeTables(report));
}

/** The test that counts the requests prints them. */
async function storeScale() {
  const test = ['test', '--package', 'bitx-store', '--test', 'store', 'costs', '--', '--nocapture'];
  await run('cargo', test, { env: { BITX_SCALE: values.models } });
}

async function scale() {
  const load = loadavg()[0];
  const sizes = values.megabytes.split(',').map(Number);
  const rows = await measureScale(sizes, { scratch, runs }, say);
  printTables([scaleTable(rows)]);
  const command = ['npm run bench --', ...process.argv.slice(2)].join(' ');
  if (!values.dry) writeScale(rows, { command, cpu: cpus()[0]?.model, cores: availableParallelism(), load });
}

async function before(folder) {
  if (!folder) fail('usage: npm run bench -- before FOLDER [--runs K] [--threads N]');
  printTables([beforeTable(await measureBefore(folder, { scratch, threads, runs }, say), folder)]);
}

async function codec() {
  const report = await measure({ scratch, threads, runs });
  const saved = join(target, 'bench.json');
  writeFileSync(saved, JSON.stringify(report, null, 1));
  if (values.json) console.log(JSON.stringify(report));
  else printTables(tablesOf(report));
  if (!report.full_size)
    say('the full-size models are missing, so the small test vectors were measured and nothing is written');
  else if (!values.dry) writeReport(report);
}

async function measure(options) {
  const load = [loadavg()[0]];
  const { peers, leftOut } = await preparePeers();
  const { folder, fullSize } = modelFolder();
  const pairs = preparePairs(folder, scratch, reference, threads);
  const timed = pairs.filter(({ name }) => TIMED_NAMES.includes(name));
  say('sizes');
  const sizes = pairs.map((pair) => pairSizes(pair, peers, options));
  sizes.push(aloneSizes(pairs[0].base, peers, options));
  const speeds = timed.map((pair) => {
    say(`speeds of ${pair.name}`);
    return pairSpeeds(pair, [ours, ...peers], options);
  });
  const chromium = values.browser ? await inChromium(timed, options) : undefined;
  const memory = timed.flatMap((pair) => pairMemory(pair, options));
  if (large) {
    say(`a generated pair of ${large} GB`);
    memory.push(...largeMemory(large, options));
  }
  return {
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    date: new Date().toISOString().slice(0, 10),
    machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), load: [...load, loadavg()[0]] },
    ...{ threads, runs, full_size: fullSize, reference: reference.name, left_out: leftOut },
    ...{ sizes, speeds, chromium, memory },
  };
}

/** Prepares the peers: returns those that can be used here, and the others with the reason. */
async function preparePeers() {
  await ours.prepare();
  await crate.prepare();
  const [peers, leftOut] = [[], []];
  for (const peer of PEERS) {
    const why = await peer.prepare();
    if (why === undefined) peers.push(peer);
    else leftOut.push({ name: peer.name, why });
  }
  for (const { name, why } of leftOut) say(`${name} is left out: ${why}`);
  return { peers, leftOut };
}

/**
 * Measures both pairs with all threads in Chromium, and the first pair in the other modes as well.
 */
async function inChromium(pairs, options) {
  say('Chromium');
  const rows = [];
  for (const [index, modes] of [['threads', 'pool', 'single'], ['threads']].entries()) {
    const { name, base, sha256 } = pairs[index];
    const delta = archivePath(options.scratch, name, 'bitx v2');
    for (const row of await measureInChromium({ base, delta, threads, runs, modes })) {
      if (row.sha256 !== sha256) throw new Error(`${name}: Chromium restored the wrong bytes`);
      rows.push({ pair: name, ...row });
    }
  }
  return rows;
}

function wholeNumber(name) {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 1) fail(`--${name} must be a whole number of at least 1`);
  return value;
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
