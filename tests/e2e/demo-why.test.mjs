import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BASE, drop, demo as openDemo, runSample, SFT, sample } from './demo-support.mjs';
import { environment, vectors } from './support.mjs';

const env = environment();
const demo = (t, options) => openDemo(t, env, options);
const QUERY = 'encoder.layer.0.attention.self.query.weight';
const [light, , full] = sample.tunes;

/** Opens the pictures of the sample's full fine-tune. */
async function why(t) {
  const page = await demo(t);
  await page.check(`input[value="${full.id}"]`);
  await page.click('#why-open');
  await page.waitForSelector('#explorer-said strong');
  return page;
}

const said = (page) => page.innerText('#explorer-said');
const bits = async (page, row) => {
  const text = await page.locator('#explorer-bits .bit-row').nth(row).locator('.bit').allInnerTexts();
  return Number.parseInt(text.join(''), 2);
};

/** Waits until the explorer shows a weight. */
async function shows(page, place) {
  await page.waitForFunction(
    (place) => document.querySelector('#explorer-place').value === place,
    String(place),
  );
}

/** Returns the words of a tensor of the sample's base, read from its file. */
function wordsOf(name) {
  const bytes = readFileSync(join(vectors, 'base-bf16.safetensors'));
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const [from, to] = JSON.parse(bytes.subarray(8, end))[name].data_offsets;
  return new Uint16Array(bytes.buffer.slice(bytes.byteOffset + end + from, bytes.byteOffset + end + to));
}

test('the explorer shows the bits of any weight', async (t) => {
  const page = await why(t);
  await page.selectOption('#explorer-tensor', { label: QUERY });
  const words = wordsOf(QUERY);
  for (const place of [0, 1234, words.length - 1]) {
    await page.fill('#explorer-place', String(place));
    await page.press('#explorer-place', 'Enter');
    await page.waitForFunction((word) => {
      const row = document.querySelectorAll('#explorer-bits .bit-row')[1];
      return (
        Number.parseInt([...row.querySelectorAll('.bit')].map((bit) => bit.textContent).join(''), 2) === word
      );
    }, words[place]);
    const [base, target, xor] = [await bits(page, 1), await bits(page, 2), await bits(page, 3)];
    assert.equal(base ^ target, xor);
    assert.equal(
      await page.locator('.bit-row:nth-child(4) .flipped').count(),
      xor.toString(2).replaceAll('0', '').length,
    );
    assert.match(await said(page), /moved by [+−][\d,]+ steps?|did not move/);
    assert.match(await said(page), /takes (about|less than) [\d.]+ bits instead of 16/);
  }
  await page.fill('#explorer-place', '99999999');
  await page.press('#explorer-place', 'Enter');
  await shows(page, words.length - 1);
});

test('weights are stepped through, and changes jumped to', async (t) => {
  const page = await why(t);
  await page.selectOption('#explorer-tensor', { label: QUERY });
  await shows(page, 0);
  await page.click('#next');
  await shows(page, 1);
  await page.click('#previous');
  await shows(page, 0);
  await page.click('#next-changed');
  await page.waitForFunction(() => document.querySelector('#explorer-place').value !== '0');
  assert.doesNotMatch(await said(page), /did not move/);
  const steps = [];
  for (let i = 0; i < 3; i++) {
    const before = await page.inputValue('#explorer-place');
    await page.click('#large-change');
    await page.waitForFunction(
      (before) => document.querySelector('#explorer-place').value !== before,
      before,
    );
    steps.push(Number(/moved by [+−]([\d,]+)/.exec(await said(page))[1].replaceAll(',', '')));
  }
  assert.ok(steps[0] >= steps[1] && steps[1] >= steps[2] && steps[2] > 100, String(steps));
});

test('pictures have the bytes of this file', async (t) => {
  const page = await why(t);
  const stages = await page.locator('.pipeline .stage-size').allInnerTexts();
  assert.equal(stages[0], '1.19 MB');
  assert.equal(stages.at(-1), `${(full.storedBytes / 1000).toPrecision(3)} kB`);
  assert.match(await page.innerText('.histograms'), /Most often 0: 14 % of the weights.*Changed bits/s);
  assert.equal(await page.locator('.histograms canvas').count(), 2);
  assert.equal(await page.locator('.treemap rect').count(), 14);
  await page.locator('.treemap g', { hasText: QUERY }).click();
  assert.equal(await page.locator('#explorer-tensor option:checked').innerText(), QUERY);
});

test('pictures follow the width of the page and its theme', async (t) => {
  const page = await why(t);
  const right = () =>
    page.evaluate(() => {
      const edges = [...document.querySelectorAll('.treemap rect')].map(
        (rect) => rect.getBoundingClientRect().right,
      );
      return Math.max(...edges) - document.querySelector('.treemap').getBoundingClientRect().right;
    });
  const texts = () =>
    page
      .locator('.treemap .share')
      .first()
      .evaluate((text) => text.getBBox().height);
  const height = await texts();
  for (const width of [320, 768, 1440]) {
    await page.setViewportSize({ width, height: 800 });
    await page.waitForTimeout(300);
    assert.ok(Math.abs(await right()) < 2, `${width} pixels`);
    assert.equal(await texts(), height);
  }
  const chart = () =>
    page
      .locator('.histograms canvas')
      .first()
      .evaluate((canvas) => canvas.toDataURL());
  await page.emulateMedia({ colorScheme: 'light' });
  await page.waitForTimeout(100);
  const light = await chart();
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.waitForTimeout(100);
  assert.notEqual(await chart(), light);
});

test('other ways are measured in the page', async (t) => {
  const page = await why(t);
  await page.click('#measure');
  await page.waitForSelector('#other-sizes .size');
  const sizes = await page.locator('#other-sizes .size strong').allInnerTexts();
  const [model, zstd, alone, xor, delta] = sizes.map(
    (text) => Number.parseFloat(text) * (text.includes('MB') ? 1000 : 1),
  );
  assert.ok(model > zstd && zstd > alone && alone > xor && xor > 2 * delta, sizes.join(', '));
});

test('pictures follow the next task, and say where they cannot', async (t) => {
  const page = await why(t);
  await runSample(page, light);
  const stored = `${(light.storedBytes / 1000).toPrecision(3)} kB`;
  await page.waitForFunction(
    (stored) => document.querySelector('.pipeline')?.innerText.includes(stored),
    stored,
  );
  assert.match(await page.innerText('#why-of'), /Light touch/);
  await drop(page, SFT, BASE);
  await page.click('#go');
  await page.waitForFunction(() =>
    document.querySelector('#why-of').textContent.includes('sft-bf16.v2.bitx'),
  );
  const text = (name) => ({
    name,
    bytes: Buffer.from('no tensors here, but text that repeats: '.repeat(50)),
  });
  await drop(page, text('base.txt'), text('other.txt'));
  await page.click('#go');
  await page.waitForSelector('#why-body >> text=found none');
});
