/**
 * Compares our command line with others on the same models, in turns and with the same number of threads:
 * `npm run bench -- [--runs K] [--threads N] [--json]`.
 *
 * `decode, compute` is what `bitx bench` measures against the speed that the reference prints; the other rows
 * time whole processes. MB are 10^6 bytes of the model; figures are medians over the runs that follow one warm-up.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { comparePair } from './bench/compare.mjs';
import { modelFolder, preparePairs } from './bench/models.mjs';
import { ours, PEERS } from './bench/peers.mjs';
import { printTables } from './bench/table.mjs';
import { root } from './lib/paths.mjs';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '7' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
const runs = count('runs');
const threads = count('threads');

for (const cli of [ours, ...PEERS]) await cli.prepare();
mkdirSync(join(root, 'target'), { recursive: true });
const scratch = mkdtempSync(join(root, 'target', 'bench-'));
try {
  const { folder, fullSize } = modelFolder();
  const machine = { cpu: cpus()[0]?.model, cores: availableParallelism(), load: loadavg()[0] };
  const pairs = preparePairs(folder, scratch, PEERS[0], threads);
  const results = pairs.map((pair) => comparePair(pair, { scratch, threads, runs, fullSize }));
  const report = { machine, threads, runs, full_size: fullSize, pairs: results };
  if (values.json) console.log(JSON.stringify(report, null, 2));
  else printTables(report);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function count(name) {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`--${name} must be a whole number from 1 on`);
  process.exit(2);
}
