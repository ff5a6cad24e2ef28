import assert from 'node:assert/strict';
import { test } from 'node:test';
import { largeModels } from './large-models.mjs';
import { environment, longTasks } from './support.mjs';

const env = environment();
/** 96 MiB, which makes six windows. */
const { site } = largeModels(env, 12);

test('the page stays responsive', async (t) => {
  const { page } = await site(t);
  const tasks = await longTasks(page, async () => {
    const folder = await navigator.storage.getDirectory();
    const file = await folder.getFileHandle('model', { create: true });
    for (const output of [new WritableStream({}), file, undefined]) {
      await bitx.restore({ base, delta, output });
    }
  });
  assert.deepEqual(tasks, []);
});
