/**
 * Prints the sizes of quantised fine-tunes as deltas, beside those of `zstd -19 --patch-from` and
 * of the XOR with the base under `zstd -19`, as the table of the README:
 * `node scripts/quantised.mjs FOLDER`.
 *
 * The folder has pairs of files, `base-NAME` and `sft-NAME`, and perhaps `sft-bf16.safetensors`,
 * the floats that the latter were quantised from. The commands `zstd` and `bitx`, of
 * `target/release` or `target/debug`, must exist.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './lib/paths.mjs';

const NAMES = {
  'q4_k.gguf': 'GGUF Q4_K',
  'q6_k.gguf': 'GGUF Q6_K',
  'q8_0.gguf': 'GGUF Q8_0',
  'q4_0.gguf': 'GGUF Q4_0',
  'q4.onnx': 'ONNX q4 (MatMulNBits)',
  'int8.onnx': 'ONNX int8',
  'q4f16_1.bin': 'MLC q4f16_1',
  'gptq.safetensors': 'GPTQ',
  'awq.safetensors': 'AWQ',
  'nf4.safetensors': 'NF4 (bitsandbytes)',
  'fp8block.safetensors': 'FP8, blocks of 128 x 128',
};

const folder = process.argv[2];
if (!folder) {
  console.error('usage: node scripts/quantised.mjs FOLDER');
  process.exit(2);
}
const bitx = ['release', 'debug'].map((kind) => join(root, 'target', kind, 'bitx')).find(existsSync);
const work = mkdtempSync(join(tmpdir(), 'bitx-quantised-'));
const size = (...command) => {
  const output = join(work, 'output');
  execFileSync(command[0], [...command.slice(1), '-o', output], { stdio: 'ignore' });
  return statSync(output).size;
};
const format = (number) => number.toLocaleString('en-US');

console.log('| format | bytes | zstd -19 --patch-from | XOR, zstd -19 | bitx | share | from its floats |');
console.log('|---|---:|---:|---:|---:|---:|---:|');
for (const [file, name] of Object.entries(NAMES)) {
  const [base, target] = ['base', 'sft'].map((side) => join(folder, `${side}-${file}`));
  if (!readdirSync(folder).includes(`sft-${file}`)) continue;
  const [from, to] = [base, target].map((path) => readFileSync(path));
  const changes = join(work, 'changes');
  writeFileSync(
    changes,
    to.map((byte, i) => byte ^ (from[i] ?? 0)),
  );
  const patch = size('zstd', '-19', '-f', '-q', `--patch-from=${base}`, target);
  const xor = size('zstd', '-19', '-f', '-q', changes);
  const own = size(bitx, 'compress', '--force', base, target);
  const share = (own / to.length).toFixed(3);
  const figures = [to.length, patch, xor, own].map(format).join(' | ');
  const floats = join(folder, 'sft-bf16.safetensors');
  const derived = existsSync(floats) ? format(size(bitx, 'compress', '--force', floats, target)) : '';
  console.log(`| ${name} | ${figures} | ${share} | ${derived} |`);
}
rmSync(work, { recursive: true });
