/**
 * Measures the built package in headless Chromium on an archive of your choice, with the modes in
 * turns: `npm run bench:browser -- --base F --delta F [--threads N] [--runs K] [--json]`.
 */
import { parseArgs } from 'node:util';
import { measureInChromium } from './bench/chromium.mjs';
import { ratio } from './bench/figures.mjs';

const { values } = parseArgs({
  options: {
    base: { type: 'string' },
    delta: { type: 'string' },
    threads: { type: 'string' },
    runs: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
if (!values.base || !values.delta) {
  console.error('usage: npm run bench:browser -- --base F --delta F [--threads N] [--runs K] [--json]');
  process.exit(2);
}

const { base, delta } = values;
const threads = values.threads === undefined ? undefined : Number(values.threads);
const modes = ['threads', 'pool', 'single'];
const rows = await measureInChromium({ base, delta, threads, runs: Number(values.runs), modes });
if (values.json) console.log(JSON.stringify(rows));
else print(rows);

function print(rows) {
  const names = Object.keys(rows[0]).filter((name) => !['index', 'samples'].includes(name));
  for (const name of names) {
    const cells = rows.map(({ [name]: value }) => `${typeof value === 'number' ? Math.round(value) : value}`);
    console.log(name.padEnd(16), ...cells.map((cell) => cell.slice(0, 20).padEnd(21)));
  }
  const [first, pool] = rows.map(({ samples }) => samples);
  for (const name of ['decode_mb_s', 'restore_mb_s'])
    tell(`pool to threads, ${name}`, pool[name], first[name]);
  for (const { mode, samples } of rows) {
    tell(`${mode}: stream_mb_s to decode_mb_s`, samples.stream_mb_s, samples.decode_mb_s);
    tell(`${mode}: file_mb_s to written_mb_s`, samples.file_mb_s, samples.written_mb_s);
  }
}

/** Prints the median of a ratio over the rounds, with its smallest and largest value. */
function tell(what, of, to) {
  const { median, least, most } = ratio(of, to);
  console.log(`${what.padEnd(40)} ${[median, least, most].map((value) => value.toFixed(2)).join('  ')}`);
}
