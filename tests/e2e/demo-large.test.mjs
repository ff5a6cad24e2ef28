/** Results that are too large for the memory: a file of the reader's choice, or the browser's disk. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorText, demo as openDemo, save } from './demo-support.mjs';
import { environment } from './support.mjs';

const env = environment();
const demo = (t) => openDemo(t, env);

/** Drops a base and a delta that restores to `size` bytes of zeros. */
async function dropLarge(page, size, names = ['base', 'large']) {
  await page.evaluate(
    ({ size, names }) => {
      const file = (name) => {
        const header = JSON.stringify({ w: { dtype: 'BF16', shape: [size / 2], data_offsets: [0, size] } });
        const block = new Blob([new Uint8Array(1 << 20)]);
        const parts = [
          new BigUint64Array([BigInt(header.length)]),
          header,
          ...new Array(size >> 20).fill(block),
        ];
        return new File(parts, name);
      };
      const dataTransfer = new DataTransfer();
      for (const name of names) dataTransfer.items.add(file(`${name}.safetensors`));
      document.dispatchEvent(new DragEvent('drop', { dataTransfer }));
    },
    { size, names },
  );
}

test('a large result goes to the file that the reader chooses', async (t) => {
  const page = await demo(t);
  // The dialog belongs to the browser and cannot be answered from here.
  await page.evaluate(() => {
    window.showSaveFilePicker = async ({ suggestedName }) => {
      const root = await navigator.storage.getDirectory();
      return root.getFileHandle(`chosen-${suggestedName}`, { create: true });
    };
  });
  await dropLarge(page, 256 << 20);
  await page.click('text=Make a .bitx');
  await page.waitForSelector('#save');
  assert.equal(await page.innerText('#save'), '✓ Saved as chosen-large.bitx'.replace('✓ ', ''));
});

test('without such a dialog, a large result is written to the disk of the browser', async (t) => {
  const page = await demo(t);
  await page.evaluate(() => {
    delete window.showSaveFilePicker;
  });
  await dropLarge(page, 256 << 20);
  await page.click('text=Make a .bitx');
  const { name } = await save(page);
  assert.equal(name, 'large.bitx');
  assert.equal((await resultsOf(page)).length, 1);
  // A task of this tab replaces its result, and a tab that opens later removes those of closed
  // ones.
  await page.waitForSelector('#go:enabled');
  await page.click('text=Make a .bitx');
  await page.waitForSelector('#save');
  assert.equal((await resultsOf(page)).length, 1);
  const next = await page.context().newPage();
  await page.close();
  await next.goto(env.isolated.address);
  await next.evaluate(() => {
    delete window.showSaveFilePicker;
  });
  await dropLarge(next, 256 << 20);
  await next.click('text=Make a .bitx');
  await next.waitForSelector('#save');
  assert.equal((await resultsOf(next)).length, 1);
});

test('shards of a large model all stay until they are saved', async (t) => {
  const page = await demo(t);
  await page.evaluate(() => {
    delete window.showSaveFilePicker;
  });
  await dropLarge(page, 256 << 20, ['base', 'large-00001-of-00002', 'large-00002-of-00002']);
  await page.click('text=Make a .bitx');
  await page.waitForSelector('#save-2');
  for (const id of ['#save', '#save-2']) {
    const [download] = await Promise.all([page.waitForEvent('download'), page.click(id)]);
    assert.match(download.suggestedFilename(), /^large-0000[12]-of-00002\.bitx$/);
    assert.equal(await download.failure(), null);
  }
});

/** Returns the paths of the results that the browser's disk holds. */
function resultsOf(page) {
  return page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('bitx-results');
    const paths = [];
    for await (const [name, tab] of folder) {
      for await (const file of tab.keys()) paths.push(`${name}/${file}`);
    }
    return paths;
  });
}

test('a result that does not fit is refused before it is made', async (t) => {
  const page = await demo(t);
  await page.evaluate(() => {
    delete window.showSaveFilePicker;
    navigator.storage.estimate = async () => ({ quota: 1e6, usage: 0 });
  });
  await dropLarge(page, 256 << 20);
  await page.click('text=Make a .bitx');
  assert.match(await errorText(page), /not enough storage.*268435\d+ bytes.*grants 1000000/s);
});
