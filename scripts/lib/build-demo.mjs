import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './paths.mjs';

const SAMPLE = ['base-bf16.safetensors', 'sft-bf16.predicted.v2.bitx'];

/** Builds the demo into `www/dist`. */
export async function buildDemo() {
  const from = join(root, 'tests', 'vectors', 'mini');
  const to = join(root, 'www', 'public', 'sample');
  mkdirSync(to, { recursive: true });
  for (const file of SAMPLE) copyFileSync(join(from, file), join(to, file));
  const { build } = await import('vite');
  await build({ root: join(root, 'www'), configFile: join(root, 'www', 'vite.config.js'), logLevel: 'warn' });
}
