/**
 * The steps that check the scripts, the TypeScript and the content of the package, without a
 * browser.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { run } from '../lib/run.mjs';
import { checkSizes } from '../lib/sizes.mjs';

export const SOURCE_STEPS = [
  { name: 'biome', run: () => run('biome', ['check', '--error-on-warnings']) },
  { name: 'unit tests', run: () => unitTests() },
];

/** Runs the tests beside the TypeScript modules; `filters` are parts of their files' paths. */
export function unitTests(filters = []) {
  return run('vitest', ['run', ...filters]);
}

export const PACKAGE_STEPS = [
  { name: 'types', run: () => run('tsc', ['-p', '.']), needs: ['build'] },
  { name: 'sizes', run: checkSizes, needs: ['build'] },
  { name: 'API reference', run: () => run('npm', ['run', 'docs']), needs: ['build'] },
  { name: 'types of the package', run: attw, needs: ['build'] },
];

/**
 * Checks that TypeScript resolves the exports. Those of workers and wasm files are left out, since
 * they are URLs that nobody imports.
 */
function attw() {
  const { exports } = JSON.parse(readFileSync(join(root, 'js', 'package.json'), 'utf8'));
  const addresses = Object.keys(exports).filter((entry) => /\.(js|wasm)$/.test(entry));
  const options = ['--profile', 'esm-only', '--no-definitely-typed', '--no-emoji', '--format', 'ascii'];
  return run('attw', ['js', '--pack', ...options, '--exclude-entrypoints', ...addresses]);
}
