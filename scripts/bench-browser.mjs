/**
 * Measures the built package in headless Chromium on any archive:
 * `npm run bench:browser -- --base F --delta F [--threads N] [--runs K] [--json]`.
 */
import { parseArgs } from 'node:util';
import { measureInChromium } from './bench/chromium.mjs';

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
const result = await measureInChromium({ base, delta, threads, runs: Number(values.runs) });
if (values.json) console.log(JSON.stringify(result));
else {
  for (const [name, value] of Object.entries(result)) {
    console.log(`${name.padEnd(16)} ${typeof value === 'number' ? Math.round(value) : value}`);
  }
}
