import { join } from 'node:path';
import { root } from './paths.mjs';
import { makeSample } from './sample.mjs';

/** Builds the demo into `www/dist`. */
export async function buildDemo() {
  const folder = join(root, 'www');
  await makeSample(join(folder, 'public', 'sample'), join(folder, 'generated', 'sample.json'));
  const { build } = await import('vite');
  await build({ root: folder, configFile: join(folder, 'vite.config.js'), logLevel: 'warn' });
}
