import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../scripts/lib/paths.mjs';

/** Returns the packages that a script imports when it starts, directly or through other scripts. */
function packagesOf(script, seen = new Set()) {
  if (seen.has(script)) return [];
  seen.add(script);
  const imports = readFileSync(script, 'utf8').matchAll(/^(?:import|export)\b[^'";=(]*'([^']+)'/gm);
  return Array.from(imports, ([, name]) => {
    if (name.startsWith('.')) return packagesOf(join(dirname(script), name), seen);
    return name.startsWith('node:') ? [] : `${script}: ${name}`;
  }).flat();
}

for (const script of ['start.mjs', 'test.mjs']) {
  test(`${script} starts in a fresh clone, where nothing is installed yet`, () => {
    const seen = new Set();
    assert.deepEqual(packagesOf(join(root, 'scripts', script), seen), []);
    assert.ok(seen.has(join(root, 'scripts', 'setup.mjs')));
  });
}
