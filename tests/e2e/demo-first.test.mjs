import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorText, demo as openDemo, runSample, sample, save } from './demo-support.mjs';
import { environment, openPage, sha256 } from './support.mjs';

const env = environment();
const demo = (t, options) => openDemo(t, env, options);
const [light, lora, full] = sample.tunes;
const size = (bytes) => `${(bytes / 1000).toPrecision(3)} kB`;

/** Keeps the names of the sample's files that the page fetches. */
function watchSample(page) {
  const fetched = [];
  page.on('request', (request) => {
    const path = new URL(request.url()).pathname;
    if (path.includes('/sample/')) fetched.push(path.split('/').at(-1));
  });
  return fetched;
}

for (const [isolated, mode] of [
  [true, 'threads'],
  [false, 'pool'],
]) {
  test(`the sample is restored, isolated: ${isolated}`, async (t) => {
    const page = await demo(t, { isolated });
    assert.match(await page.innerText('#engine'), /^\d+ threads$/);
    assert.equal(await page.getAttribute('#engine', 'data-mode'), mode);
    await runSample(page);
    assert.match(await page.innerText('#digest'), new RegExp(`matches\\s+${light.sha256}`));
    const text = await page.innerText('#result');
    assert.match(text, new RegExp(`Fetched\\s+${size(light.storedBytes)}`));
    assert.match(text, /Restored\s+1\.19 MB.*MB\/s.*Computed on\s+\d+ thread/s);
    const { name, bytes } = await save(page);
    assert.deepEqual([name, sha256(bytes)], ['rl.safetensors', light.sha256]);
  });
}

test('the first screen shows figures and a picture before any script', async (t) => {
  const context = await env.browser.newContext({ javaScriptEnabled: false });
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(env.isolated.address);
  assert.match(await page.innerText('.picture'), new RegExp(`1\\.19 MB.*${size(light.storedBytes)}`, 's'));
  assert.ok((await page.getAttribute('#weights .change-1', 'd')).length > 100);
  assert.match(await page.innerText('body'), /JavaScript and WebAssembly, which are switched off/);
  assert.match(await page.innerText('#engine'), /needs JavaScript/);
});

test('the first run fetches less than the model, the next ones only their change', async (t) => {
  const page = await demo(t);
  const fetched = watchSample(page);
  await runSample(page);
  assert.deepEqual(fetched.sort(), ['base.bitx', 'rl.bitx']);
  assert.ok(sample.base.storedBytes + light.storedBytes < 0.7 * light.bytes);
  assert.match(await page.innerText('#note'), new RegExp(`once: ${size(sample.base.storedBytes)}`));
  for (const tune of [lora, full]) {
    fetched.splice(0);
    await runSample(page, tune);
    assert.deepEqual(fetched, [`${tune.id}.bitx`]);
    assert.match(await page.innerText('.tiles'), new RegExp(`Fetched\\s+${size(tune.storedBytes)}`));
    assert.match(await page.innerText('#note'), /already in your browser/);
    assert.match(await page.innerText('#digest'), new RegExp(tune.sha256));
  }
  await page.reload();
  fetched.splice(0);
  await runSample(page);
  assert.deepEqual(fetched, ['rl.bitx']);
});

test('the picture follows the chosen fine-tune', async (t) => {
  const page = await demo(t);
  const changed = () => page.getAttribute('#weights .change-1', 'd');
  const before = await changed();
  await page.check('input[value="sft"]');
  assert.equal(await page.innerText('#picture-change'), size(full.storedBytes));
  assert.ok((await changed()).length > 2 * before.length);
});

test('the link can be chosen', async (t) => {
  const page = await demo(t);
  await runSample(page);
  await page.selectOption('#link-speed', '1.6');
  assert.match(await page.innerText('#link-times'), /The whole model takes 6\.0 s/);
  await page.selectOption('#link-speed', '100');
  assert.match(await page.innerText('#link-times'), /15 GB at the same ratio: 20 min or \d+ s/);
});

test('a click before the engine is ready is not lost', async (t) => {
  const page = await openPage(t, env, { path: 'blank' });
  let start;
  const started = new Promise((resolve) => {
    start = resolve;
  });
  await page.route('**/*.wasm', async (route) => {
    await started;
    await route.continue();
  });
  await page.goto(env.isolated.address);
  await page.click('#sample');
  await page.waitForFunction(() => /Fetched\s*\d+ kB/.test(document.querySelector('#live').innerText));
  start();
  await page.waitForSelector('#result h2.good');
});

test('the page asks nothing of other origins, and finds all that it asks for', async (t) => {
  const context = await env.browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  const answers = [];
  page.on('response', (response) => answers.push(response));
  const faults = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()))
      faults.push(`${message.text()} ${message.location().url}`);
  });
  await page.goto(env.isolated.address);
  await page.waitForSelector('#engine[data-mode]');
  await runSample(page);
  // A worker's script comes from a blob.
  for (const answer of answers.filter((answer) => answer.url().startsWith('http'))) {
    assert.ok(answer.url().startsWith(env.isolated.address), answer.url());
    assert.equal(answer.status(), 200, answer.url());
  }
  assert.deepEqual(faults, []);
});

test('a download can be cancelled', async (t) => {
  const page = await demo(t);
  await page.route('**/sample/*.bitx', () => {});
  await page.click('#sample');
  await page.click('#cancel');
  await page.waitForSelector('#sample:enabled');
  assert.match(await page.innerText('#notice'), /Cancelled while fetching\. No result was kept/);
  for (const id of ['#result', '#error', '#work']) assert.equal(await page.isVisible(id), false);
});

test('a failed download is explained', async (t) => {
  const page = await demo(t);
  await page.route('**/sample/*.bitx', (route) => route.fulfill({ status: 503 }));
  await page.click('#sample');
  assert.match(await errorText(page), /transfer failed.*503/s);
});

test('on a phone, the button and the sizes are in the first view', async (t) => {
  const page = await demo(t, env);
  // The room that a browser's bars leave.
  await page.setViewportSize({ width: 390, height: 664 });
  for (const part of ['#sample', '#picture-change']) {
    const { y, height } = await page.locator(part).boundingBox();
    assert.ok(y > 0 && y + height <= 664, `${part} ends at ${y + height}`);
  }
});

test('the picture stays in its card at any width', async (t) => {
  const page = await demo(t, env);
  for (const width of [320, 600, 895, 897, 960, 1440]) {
    await page.setViewportSize({ width, height: 800 });
    const over = await page.evaluate(() => {
      const card = document.querySelector('.picture');
      // Fractions of a pixel are rounded in different ways.
      const right = card.getBoundingClientRect().right - parseFloat(getComputedStyle(card).paddingRight) + 1;
      return [...card.querySelectorAll('*')].filter((part) => part.getBoundingClientRect().right > right)
        .length;
    });
    assert.equal(over, 0, `${width} pixels`);
  }
});
