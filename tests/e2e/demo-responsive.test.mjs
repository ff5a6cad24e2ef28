import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demo, drop, safetensors } from './demo-support.mjs';
import { environment, longTasks } from './support.mjs';

const env = environment();

test('ten thousand tensors open, scroll, search and sort without a long task', async (t) => {
  const page = await demo(t, env);
  const name = (i) => `model.layers.${i}.${i % 2 ? 'up' : 'down'}_proj.weight`;
  const tensors = Array.from({ length: 10_000 }, (_, i) => [name(i), Buffer.alloc(2 + 2 * (i % 7))]);
  await drop(page, { name: 'many.safetensors', bytes: safetensors(Object.fromEntries(tensors)) });
  const tasks = await longTasks(page, async () => {
    const settled = () => new Promise((resolve) => setTimeout(resolve, 150));
    document.querySelector('#go').click();
    for (;;) {
      await settled();
      if (!document.querySelector('#result').hidden && !document.querySelector('#go').disabled) break;
    }
    const scroll = document.querySelector('#result .scroll');
    scroll.scrollTop = 170_000;
    await settled();
    document.querySelector('#tensors th:nth-child(2) button').click();
    await settled();
    const search = document.querySelector('#result input[type=search]');
    search.value = '99 up';
    search.dispatchEvent(new Event('input'));
    await settled();
  });
  assert.deepEqual(tasks, []);
  assert.match(await page.innerText('#result .search'), /\d+ found/);
  assert.ok((await page.locator('#tensors tbody tr').count()) < 60);
});

test('ten thousand tensors have pictures without a long task', async (t) => {
  const page = await demo(t, env);
  const count = 10_000;
  const header = {};
  for (let i = 0; i < count; i++) {
    header[`layer.${i}.weight`] = { dtype: 'BF16', shape: [32], data_offsets: [i * 64, (i + 1) * 64] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const base = Buffer.concat([length, json, Buffer.alloc(count * 64, 0x3f)]);
  const tuned = Buffer.from(base);
  for (let at = 8 + json.length; at < tuned.length; at += 50) tuned[at] ^= 1;
  await drop(page, { name: 'base.safetensors', bytes: base }, { name: 'tuned.safetensors', bytes: tuned });
  await page.click('#go');
  await page.waitForSelector('text=Compressed');
  await page.waitForSelector('#go:enabled');
  const tasks = await longTasks(page, async () => {
    document.querySelector('#why-body').replaceChildren();
    document.querySelector('#why-open').click();
    while (!document.querySelector('#explorer-said strong')) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });
  assert.deepEqual(tasks, []);
  assert.ok((await page.locator('#explorer-tensor option').count()) <= 250);
});
