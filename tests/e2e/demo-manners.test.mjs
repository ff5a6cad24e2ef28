import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { demoDist } from '../../scripts/lib/paths.mjs';
import { BASE, drop, demo as openDemo, runSample, SFT, sample } from './demo-support.mjs';
import { environment, openPage } from './support.mjs';

const env = environment();
const demo = (t, options) => openDemo(t, env, options);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Most bytes of scripts as servers send them: at the first screen, and with all pictures. */
const FIRST_SCREEN = 60_000;
const ALL_PICTURES = 150_000;

/** The states of the page that a reader may see. */
const STATES = {
  'first screen': async () => {},
  'a running task': async (page) => {
    await page.route('**/sample/rl.bitx', () => {});
    await page.click('#sample');
    await page.waitForSelector('#live div');
  },
  'a cancelled task': async (page) => {
    await page.route('**/sample/rl.bitx', () => {});
    await page.click('#sample');
    await page.click('#cancel');
    await page.waitForSelector('#notice:not([hidden])');
  },
  'a result': (page) => runSample(page),
  'an error': async (page) => {
    await drop(page, SFT, { name: 'photo.png', bytes: Buffer.from('\x89PNG\r\n\x1a\n....', 'latin1') });
    await page.click('#go');
    await page.waitForSelector('#error:not([hidden])');
  },
  'files to choose': async (page) => {
    await drop(page, BASE, { ...BASE, name: 'tuned.safetensors' });
    await page.click('#by-address summary');
  },
  pictures: async (page) => {
    await page.click('#why-open');
    await page.waitForSelector('#explorer-said strong');
    await page.click('#measure');
    await page.waitForSelector('#other-sizes .size');
  },
  'a question': async (page) => {
    await page.goto(`${env.isolated.address}?model=https://models.example/a.bitx`);
    await page.waitForSelector('#allow');
  },
};

for (const [name, enter] of Object.entries(STATES)) {
  for (const theme of ['light', 'dark']) {
    test(`axe finds nothing, and nothing is wider than a phone: ${name}, ${theme}`, async (t) => {
      const page = await demo(t);
      await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width: 320, height: 640 });
      await enter(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} pixels too wide`);
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.waitForTimeout(200);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => axe.run());
      assert.deepEqual(
        violations.map(
          ({ id, nodes }) =>
            `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`)}`,
        ),
        [],
      );
    });
  }
}

/** Keeps the scripts that a page loads, with their sizes as servers send them. */
function watchScripts(page) {
  const sizes = new Map();
  const pending = [];
  page.on('response', (response) => {
    if (!/\.js($|\?)/.test(response.url())) return;
    const size = response.body().then((body) => gzipSync(body, { level: 9 }).length);
    pending.push(size.then((bytes) => sizes.set(new URL(response.url()).pathname, bytes)));
  });
  return async () => {
    await Promise.all(pending);
    return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  };
}

test('scripts stay small, at the first screen and with all pictures', async (t) => {
  const page = await openPage(t, env);
  const total = watchScripts(page);
  await page.goto(env.isolated.address);
  await page.waitForSelector('#engine[data-mode]');
  const first = await total();
  await STATES.pictures(page);
  const all = await total();
  t.diagnostic(`scripts, gzip -9: ${first} bytes at the first screen, ${all} with all pictures`);
  assert.ok(first > 10_000 && first <= FIRST_SCREEN, `${first} bytes at the first screen`);
  assert.ok(all > first && all <= ALL_PICTURES, `${all} bytes with all pictures`);
});

test('the keyboard reaches everything, and its focus is seen', async (t) => {
  const page = await demo(t);
  const seen = [];
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press('Tab');
    const focus = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return undefined;
      // An invisible field shows its focus by the label or slot around it.
      for (let shown = element; shown && shown !== document.body; shown = shown.parentElement) {
        const { outlineStyle, outlineWidth } = getComputedStyle(shown);
        const { width, height } = shown.getBoundingClientRect();
        const visible = outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2;
        if (visible && width > 20 && height > 12) return { id: element.id || element.textContent, visible };
      }
      return { id: element.id || element.textContent, visible: false };
    });
    if (!focus) break;
    seen.push(focus);
  }
  const hidden = seen.filter(({ visible }) => !visible);
  assert.deepEqual(hidden, []);
  for (const id of ['sample', 'why-open', 'base-file', 'other-file', 'hub-url', 'copy', 'code-box']) {
    assert.ok(
      seen.some((focus) => focus.id === id),
      `${id} is not reached`,
    );
  }
});

test('on a phone, the columns that matter come first', async (t) => {
  const page = await demo(t);
  await page.setViewportSize({ width: 320, height: 640 });
  await runSample(page);
  const edges = await page.evaluate(() =>
    [...document.querySelectorAll('#tensors thead th')].map((head) => [
      head.textContent,
      head.getBoundingClientRect().right,
    ]),
  );
  const inView = edges.filter(([, right]) => right <= 320).map(([title]) => title);
  assert.deepEqual(inView.slice(0, 3), ['Tensor', 'Stored', 'Share']);
});

test('a touch screen is not asked to drop', async (t) => {
  const context = await env.browser.newContext({ hasTouch: true, isMobile: true });
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(env.isolated.address);
  assert.doesNotMatch(await page.innerText('#bench'), /Drop/);
});

test('the sample can be clicked long before the engine, on a slow link and a slow device', async (t) => {
  const page = await openPage(t, env);
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  // 1.6 Mbit/s and 150 ms of latency, as slow 4G; a processor that is four times slower.
  const link = { offline: false, latency: 150, downloadThroughput: 200_000, uploadThroughput: 93_750 };
  await session.send('Network.emulateNetworkConditions', link);
  await session.send('Emulation.setCPUThrottlingRate', { rate: 4 });
  env.mounts['/packed/'] = packed;
  t.after(() => delete env.mounts['/packed/']);
  await page.goto(`${env.isolated.address}packed/`, { waitUntil: 'commit' });
  await page.waitForSelector('#engine[data-mode]');
  const [ready, engine] = await page.evaluate(() => [
    performance.getEntriesByName('bitx-ready')[0].startTime,
    performance.getEntriesByType('resource').find(({ name }) => name.includes('worker')).startTime,
  ]);
  t.diagnostic(`the sample was ready after ${Math.round(ready)} ms`);
  assert.ok(engine > ready, 'the engine came before the page');
});

/** Serves the demo as servers usually do: compressed. */
function packed(request, response) {
  const path = new URL(request.url, 'http://x').pathname.replace('/packed/', '') || 'index.html';
  const types = { html: 'text/html', js: 'text/javascript', css: 'text/css', wasm: 'application/wasm' };
  const type = types[path.split('.').at(-1)] ?? 'application/octet-stream';
  const body = gzipSync(readFileSync(join(demoDist, path)));
  response.writeHead(200, { 'content-type': type, 'content-encoding': 'gzip' }).end(body);
}

test('the time left is told', async (t) => {
  const page = await demo(t);
  await page.evaluate(() => {
    delete window.showSaveFilePicker;
    const size = 1 << 30;
    const header = JSON.stringify({ w: { dtype: 'BF16', shape: [size / 2], data_offsets: [0, size] } });
    const block = new Blob([crypto.getRandomValues(new Uint8Array(65536))]);
    const parts = [
      new BigUint64Array([BigInt(header.length)]),
      header,
      ...new Array(size / 65536).fill(block),
    ];
    const dataTransfer = new DataTransfer();
    for (const name of ['base', 'tuned']) dataTransfer.items.add(new File(parts, `${name}.safetensors`));
    document.dispatchEvent(new DragEvent('drop', { dataTransfer }));
  });
  await page.click('text=Make a .bitx');
  await page.waitForSelector('#work-text:text-matches(", [0-9.]+ m?s left|, [0-9]+ min.* left")');
  await page.click('#cancel');
  await page.waitForSelector('#notice:not([hidden])');
});

test('figures of the sample are those of the files', () => {
  for (const { storedBytes, bytes } of sample.tunes) assert.ok(storedBytes < bytes / 5);
});
