import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { demoDist, root } from '../../scripts/lib/paths.mjs';
import { rangeOf } from '../../scripts/lib/server.mjs';
import { BASE, demo, errorText, SFT, save } from './demo-support.mjs';
import { environment, openPage, SHA256, sha256, vectors } from './support.mjs';

const env = environment();
const DELTA = 'vectors/sft-bf16.v2.bitx';
const OWN = `?base=vectors/base-bf16.safetensors&delta=${DELTA}`;

/** Serves the files for pages of other origins, and keeps the paths that were asked for. */
function mountElsewhere(t, { slow = false } = {}) {
  const asked = [];
  const files = { 'base.safetensors': BASE.bytes, 'tuned.bitx': SFT.bytes };
  const cors = { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' };
  env.mounts['/elsewhere/'] = async (request, response) => {
    const path = new URL(request.url, 'http://x').pathname.replace('/elsewhere/', '');
    if (request.method === 'OPTIONS') {
      return response.writeHead(204, { ...cors, 'access-control-allow-headers': '*' }).end();
    }
    const body = files[path];
    asked.push({ path, range: request.headers.range, method: request.method });
    if (!body) return response.writeHead(404, cors).end();
    const { start, end } = rangeOf(request.headers.range, body.length) ?? { start: 0, end: body.length };
    const range = request.headers.range && { 'content-range': `bytes ${start}-${end - 1}/${body.length}` };
    const length = { 'content-length': end - start, 'accept-ranges': 'bytes', etag: '"1"' };
    response.writeHead(range ? 206 : 200, { ...cors, ...length, ...range });
    if (request.method === 'HEAD') return response.end();
    if (slow && path.startsWith('base')) return response.write(body.subarray(start, end - 10));
    response.end(body.subarray(start, end));
  };
  t.after(() => delete env.mounts['/elsewhere/']);
  const at = `${env.plain.address}elsewhere/`;
  return { asked, link: `?base=${at}base.safetensors&delta=${at}tuned.bitx`, at };
}

test('a link of this origin opens and runs', async (t) => {
  const page = await openPage(t, env, { path: OWN });
  await page.waitForSelector('#result h2.good');
  assert.match(await page.innerText('#note'), /base came first, once: 1\.19 MB/);
  assert.match(await page.innerText('#code'), /base: 'http.*base-bf16\.safetensors',\n {2}delta: 'http/s);
  assert.equal(sha256((await save(page)).bytes), SHA256.sft);
  await page.reload();
  await page.waitForSelector('#result h2.good');
  assert.match(await page.innerText('#note'), /already in your browser/);
});

test('a link to other origins shows them, and fetches after a click', async (t) => {
  const { asked, link } = mountElsewhere(t);
  const page = await demo(t, env, { path: link });
  const text = await page.innerText('#ask');
  assert.match(
    text,
    /files from 127\.0\.0\.1:\d+.*elsewhere\/base\.safetensors.*tuned\.bitx.*Nothing has been fetched/s,
  );
  await page.waitForTimeout(500);
  assert.deepEqual(asked, []);
  await page.click('#allow');
  await page.waitForSelector('#result h2.good');
  assert.equal(sha256((await save(page)).bytes), SHA256.sft);
  assert.equal(await page.isVisible('#ask'), false);
  // The same tab need not ask again.
  await page.reload();
  await page.waitForSelector('#result h2.good');
});

test('a link that is refused fetches nothing', async (t) => {
  const { asked, link } = mountElsewhere(t);
  const page = await demo(t, env, { path: link });
  await page.click('#refuse');
  assert.equal(await page.isVisible('#ask'), false);
  await page.waitForTimeout(300);
  assert.deepEqual(asked, []);
});

test('a reload in the middle of a download continues it', async (t) => {
  const state = mountElsewhere(t, { slow: true });
  const page = await demo(t, env, { path: state.link });
  await page.click('#allow');
  await page.waitForFunction(() =>
    /Fetching [\d.]+ [kM]B of/.test(document.querySelector('#work-text').textContent),
  );
  const again = mountElsewhere(t);
  await page.reload();
  await page.waitForSelector('#result h2.good');
  assert.ok(again.asked.some(({ path }) => path === 'base.safetensors'));
  assert.equal(sha256((await save(page)).bytes), SHA256.sft);
});

test('a link to one file shows what is inside', async (t) => {
  const page = await openPage(t, env, { path: `?model=${DELTA}` });
  await page.waitForSelector('text=Inside sft-bf16.v2.bitx');
  await page.goto(`${env.isolated.address}?model=vectors/base-bf16.safetensors`);
  await page.waitForSelector('text=Inside base-bf16.safetensors');
  assert.match(await page.innerText('.tiles'), /Tensors\s+14/);
});

for (const [query, text] of [
  ['?base=a', /cannot be opened.*incomplete: it needs the addresses of a base and of one delta/s],
  ['?base=http://%5B&delta=b', /cannot be opened.*address of the base in this link is not an address/s],
  ['?model=javascript:alert(1)', /cannot be opened.*not an address of the web: javascript/s],
  ['?base=vectors/none.safetensors&delta=vectors/none.bitx', /transfer failed.*404/s],
  ['?base=vectors/base-f32.safetensors&delta=vectors/sft-bf16.v2.bitx', /not the base of that delta/],
]) {
  test(`a broken link is explained: ${query}`, async (t) => {
    const page = await demo(t, env, { path: query });
    const said = await errorText(page);
    assert.match(said, text);
    assert.doesNotMatch(said, /report/);
    await page.click('#sample');
    await page.waitForSelector('#result h2.good');
  });
}

test('an address that nobody answers is explained', async (t) => {
  const page = await demo(t, env, { path: '?model=http://127.0.0.1:9/a.bitx' });
  await page.click('#allow');
  assert.match(await errorText(page), /transfer failed/);
});

test('addresses that the reader adds become a link to send on', async (t) => {
  const { at } = mountElsewhere(t);
  const page = await demo(t, env);
  await page.click('#by-address summary');
  await page.fill('#addresses', `${at}base.safetensors\n${at}tuned.bitx`);
  await page.click('#add-addresses');
  await page.click('text=Restore the model');
  await page.waitForSelector('#result h2.good');
  const { searchParams } = new URL(page.url());
  assert.deepEqual(
    [...searchParams],
    [
      ['base', `${at}base.safetensors`],
      ['delta', `${at}tuned.bitx`],
    ],
  );
  await page.reload();
  await page.waitForSelector('#result h2.good');
});

test('a base that is larger than the storage is refused before it is fetched', async (t) => {
  const size = 20e9;
  const cors = { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' };
  let sent = 0;
  env.mounts['/huge/'] = (request, response) => {
    if (request.method === 'OPTIONS') {
      return response.writeHead(204, { ...cors, 'access-control-allow-headers': '*' }).end();
    }
    const { start, end } = rangeOf(request.headers.range, size) ?? { start: 0, end: size };
    const range = request.headers.range && { 'content-range': `bytes ${start}-${end - 1}/${size}` };
    const length = { 'content-length': end - start, 'accept-ranges': 'bytes', etag: '"1"' };
    response.writeHead(range ? 206 : 200, { ...cors, ...length, ...range });
    if (request.method === 'HEAD') return response.end();
    const part = Buffer.alloc(Math.min(end - start, 1 << 16));
    sent += part.length;
    response.write(part);
  };
  t.after(() => delete env.mounts['/huge/']);
  const page = await openPage(t, env);
  await page.addInitScript(() => {
    navigator.storage.estimate = async () => ({ quota: 1e9, usage: 0 });
  });
  await page.goto(`${env.isolated.address}?base=huge/base.safetensors&delta=${DELTA}`);
  assert.match(await errorText(page), /not enough storage.*need 2\d{10} bytes.*grants 1000000000/s);
  assert.ok(sent < 1 << 20, `${sent} bytes were fetched`);
});

test('the button that copies is beside the places, on a phone as well', async (t) => {
  const page = await demo(t, env);
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 640 });
    const [places, copy] = await Promise.all(
      ['#places label', '#copy'].map((part) => page.locator(part).first().boundingBox()),
    );
    assert.ok(copy.y < places.y + places.height, `${width} pixels`);
  }
});

test('code is copied for each place', async (t) => {
  const page = await demo(t, env);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  for (const [place, text] of [
    ['page', /await bitx\.restore/],
    ['node', /node:fs/],
    ['shell', /^bitx decompress base\.safetensors fine-tune\.bitx/],
  ]) {
    await page.check(`input[name=place][value=${place}]`, { force: true });
    await page.click('#copy');
    await page.waitForSelector('#copy >> text=Copied');
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), text);
  }
});

test('the code for Node runs as it is copied', async (t) => {
  const page = await demo(t, env);
  await page.check('input[name=place][value=node]', { force: true });
  const folder = mkdtempSync(join(tmpdir(), 'bitx-code-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'base.safetensors'), BASE.bytes);
  writeFileSync(join(folder, 'fine-tune.bitx'), SFT.bytes);
  writeFileSync(join(folder, 'restore.mjs'), await page.innerText('#code'));
  execFileSync(process.execPath, ['restore.mjs'], { cwd: folder });
  assert.equal(sha256(readFileSync(join(folder, 'fine-tune.safetensors'))), SHA256.sft);
});

test('the code for a page runs as it is copied', async (t) => {
  env.mounts['/code/base.safetensors'] = join(vectors, 'base-bf16.safetensors');
  env.mounts['/code/fine-tune.bitx'] = join(vectors, 'sft-bf16.v2.bitx');
  const page = await demo(t, env);
  const code = (await page.innerText('#code')).replace('bitx.dispose();', 'globalThis.model = model;');
  env.mounts['/code/index.html'] = (_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(
      `<script type="importmap">{"imports": {"bitx-wasm": "/bitx/index.js"}}</script>
      <script type="module">${code}</script>`,
    );
  await page.goto(`${env.isolated.address}code/index.html`);
  await page.waitForFunction(() => globalThis.model);
  assert.equal(await page.evaluate(() => globalThis.model.size), BASE.bytes.length);
});

test('the page has a picture and a text to send on, and links', async () => {
  const html = readFileSync(join(demoDist, 'index.html'), 'utf8');
  const [, image] = /property="og:image" content="([^"]+)"/.exec(html);
  const png = readFileSync(join(demoDist, image));
  assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [1200, 630]);
  assert.match(html, /property="og:title" content="bitx: [^"]+"/);
  assert.match(html, /property="og:description" content="[^"]{60,}"/);
  for (const name of ['Code', 'npm package', 'Command line', 'Guides']) {
    assert.match(html, new RegExp(`<a href="https://[^"]+">${name}</a>`));
  }
});

test('the page works in any folder', async (t) => {
  env.mounts['/some/where/deep/'] = demoDist;
  t.after(() => delete env.mounts['/some/where/deep/']);
  const page = await demo(t, env, { path: 'some/where/deep/' });
  await page.click('#sample');
  await page.waitForSelector('#result h2.good');
});
