/** The first example of each README: it is near the top, and runs as it is pasted. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../scripts/lib/paths.mjs';
import { environment, openPage } from './support.mjs';

const env = environment();
const PRINTED = /^65536 bytes, as a delta (\d+), restored 65536$/;

/** Returns the first example in JavaScript of a file. */
function firstExample(file) {
  const [, example] = readFileSync(join(root, file), 'utf8').split('```js\n');
  return example.split('```')[0];
}

for (const file of ['README.md', 'js/README.md']) {
  test(`${file}: the installation is in the first ten lines`, () => {
    const lines = readFileSync(join(root, file), 'utf8').split('\n').slice(0, 10);
    assert.ok(lines.includes('npm install bitx-wasm'), lines.join('\n'));
  });

  test(`${file}: the example has at most ten lines and runs in Node`, () => {
    const example = firstExample(file);
    assert.ok(example.trimEnd().split('\n').length <= 10);
    const folder = join(root, 'target', 'readme');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'example.mjs'), example);
    const printed = execFileSync(process.execPath, [join(folder, 'example.mjs')], { encoding: 'utf8' });
    assert.ok(Number(PRINTED.exec(printed.trim())?.[1]) < 3000, printed);
  });

  test(`${file}: the example runs in a page`, async (t) => {
    const page = await openPage(t, env);
    const printed = new Promise((resolve) =>
      page.on('console', (message) => message.type() === 'log' && resolve(message.text())),
    );
    const example = firstExample(file).replace("'bitx-wasm'", "'/bitx/index.js'");
    await page.addScriptTag({ type: 'module', content: example });
    assert.match(await printed, PRINTED);
  });
}
