/**
 * Prints the share that quantised files take in a store that has the floats of the same model:
 * `node scripts/quantised-store.mjs FLOATS QUANTISED...`.
 *
 * FLOATS is, for example, a safetensors file in BF16, and each QUANTISED a file of the same model,
 * for example GGUF by llama.cpp. The files are added one by one to a new store. The command `bitx`,
 * of `target/release` or `target/debug`, must exist.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { root } from './lib/paths.mjs';

const files = process.argv.slice(2);
if (files.length < 2) {
  console.error('usage: node scripts/quantised-store.mjs FLOATS QUANTISED...');
  process.exit(2);
}
const bitx = ['release', 'debug'].map((kind) => join(root, 'target', kind, 'bitx')).find(existsSync);
const work = mkdtempSync(join(tmpdir(), 'bitx-quantised-store-'));
const store = (...command) =>
  JSON.parse(
    execFileSync(bitx, ['store', '--root', join(work, 'store'), ...command, '--json'], { encoding: 'utf8' }),
  );
const row = (name, bytes, stored) =>
  console.log(
    `| ${[name, ...[bytes, stored].map((n) => n.toLocaleString('en-US')), (stored / bytes).toFixed(4)].join(' | ')} |`,
  );

console.log('| file | bytes | stored | share |');
console.log('|---|---:|---:|---:|');
const sum = [0, 0];
files.forEach((file, number) => {
  const { bytes, stored_bytes: stored } = store('add', '--name', `model-${number}`, file);
  row(basename(file), bytes, stored);
  if (number > 0) {
    sum[0] += bytes;
    sum[1] += stored;
  }
});
row('quantised, together', ...sum);
const { value_input_bytes: before, value_bytes: after } = store('stats');
console.log(`\nagainst bases of another dtype: ${before} -> ${after} bytes`);
store('verify', '--read-data');
rmSync(work, { recursive: true });
