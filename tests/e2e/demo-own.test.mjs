import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { rangeOf } from '../../scripts/lib/server.mjs';
import { BASE, drop, errorText, demo as openDemo, SFT, safetensors, save, vector } from './demo-support.mjs';
import { environment, SHA256, sha256 } from './support.mjs';

const env = environment();
const demo = (t, options) => openDemo(t, env, options);
const hint = (page) => page.innerText('#hint');

/** Drops paths of the disk as a user does, with folders. */
async function dropPaths(page, ...files) {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop']) {
    await session.send('Input.dispatchDragEvent', { type, x: 200, y: 300, data });
  }
}

/** Writes files into a folder that is deleted after the test: `{ path: content }`. */
function folderOf(t, files) {
  const folder = mkdtempSync(join(tmpdir(), 'bitx-demo-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

/** Returns the tensors of the sample's base in two files. */
function shards() {
  const end = 8 + Number(BASE.bytes.readBigUInt64LE(0));
  const header = JSON.parse(BASE.bytes.subarray(8, end));
  const parts = [{}, {}];
  let nth = 0;
  for (const [name, { dtype, data_offsets: [from, to] = [] }] of Object.entries(header)) {
    if (dtype === 'BF16') parts[nth++ % 2][name] = BASE.bytes.subarray(end + from, end + to);
  }
  return parts.map(safetensors);
}

test('folders are taken with their models: a fine-tune beside its base', async (t) => {
  const page = await demo(t);
  const folder = folderOf(t, {
    'base/model.safetensors': BASE.bytes,
    'base/config.json': '{}',
    'base/pytorch_model.bin': 'old',
    'tuned/model.bitx': SFT.bytes,
  });
  await dropPaths(page, join(folder, 'base'), join(folder, 'tuned'));
  await page.click('text=Restore the model');
  await page.waitForSelector('text=Restored, bit for bit');
  assert.equal(sha256((await save(page)).bytes), SHA256.sft);
});

test('a folder without models is explained, and files are taken as before', async (t) => {
  const page = await demo(t);
  await dropPaths(page, folderOf(t, { 'photos/a.png': 'a', 'photos/b.txt': 'b' }).concat('/photos'));
  await page.waitForFunction(() => document.querySelector('#hint').textContent !== '');
  assert.match(await hint(page), /No model was found in photos/);
  assert.equal(await page.locator('.slot.filled').count(), 0);
  await drop(page, SFT, BASE);
  await page.click('text=Restore the model');
  await page.waitForSelector('text=Restored, bit for bit');
});

test('a folder of more than ten thousand files is explained', async (t) => {
  const page = await demo(t);
  const files = Object.fromEntries(
    Array.from({ length: 10_010 }, (_, i) => [`many/${i % 100}/${i}.bin`, '']),
  );
  await dropPaths(page, join(folderOf(t, files), 'many'));
  await page.waitForFunction(() => document.querySelector('#hint').textContent !== '');
  assert.match(await hint(page), /many has more than 10,000 files/);
});

test('a folder can be chosen', async (t) => {
  const page = await demo(t);
  const folder = folderOf(t, {
    'tuned/model.bitx': SFT.bytes,
    'tuned/base/model.safetensors': BASE.bytes,
    'tuned/README.md': '#',
  });
  await page.click('#by-address summary');
  await page.setInputFiles('#folder', join(folder, 'tuned'));
  await page.click('text=Restore the model');
  await page.waitForSelector('#result:not([hidden]), #error:not([hidden])');
  assert.match(await page.innerText('#base-slot'), /base\/model\.safetensors/);
  assert.match(await page.innerText('#other-slot'), /tuned\/model\.bitx/);
});

test('shards are one model, as base and as target', async (t) => {
  const page = await demo(t);
  const [first, second] = shards();
  const names = ['base-00001-of-00002.safetensors', 'base-00002-of-00002.safetensors'];
  const base = [first, second].map((bytes, i) => ({ name: names[i], bytes }));
  const target = base.map(({ name, bytes }) => ({ name: name.replace('base', 'tuned'), bytes }));
  await drop(page, base[1], base[0], target[0], target[1]);
  assert.match(await page.innerText('#base-slot'), /base\.safetensors, 2 files, 1\.19 MB/);
  await page.click('text=Make a .bitx');
  await page.waitForSelector('#result:not([hidden])');
  assert.equal(await page.locator('#result a.primary').count(), 2);
  const [delta] = await Promise.all([page.waitForEvent('download'), page.click('#save-2')]);
  assert.equal(delta.suggestedFilename(), 'tuned-00002-of-00002.bitx');
});

test('replaced files and files without a place are named', async (t) => {
  const page = await demo(t);
  await drop(page, SFT, BASE);
  await drop(page, vector('lora-bf16.v1.bitx'));
  assert.match(await hint(page), /Replaced: sft-bf16\.v2\.bitx/);
  await drop(page, BASE, { ...BASE, name: 'other.safetensors' }, SFT);
  assert.match(await hint(page), /Not taken: other\.safetensors/);
});

test('a file can be taken away again', async (t) => {
  const page = await demo(t);
  await drop(page, BASE);
  await page.click('#base-slot button');
  assert.equal(await page.locator('.slot.filled').count(), 0);
  assert.equal(await page.isEnabled('#go'), false);
});

test('a drop while a task runs changes nothing', async (t) => {
  const page = await demo(t);
  await page.route('**/sample/*.bitx', () => {});
  await drop(page, SFT, BASE);
  await page.click('#sample');
  await drop(page, { ...BASE, name: 'late.safetensors' });
  assert.match(await hint(page), /task is running/);
  for (const id of ['#base-file', '#other-file', '#base-slot button']) {
    assert.equal(await page.isDisabled(id), true, id);
  }
  await page.click('#cancel');
  await page.waitForSelector('#go:enabled');
  assert.match(await page.innerText('#base-slot'), /base-bf16/);
  assert.equal(await page.innerText('#go'), 'Restore the model');
});

for (const [name, start, kind] of [
  ['photo.png', '\x89PNG\r\n\x1a\n', /photo\.png is a PNG image, not a model/],
  ['photo.jpg', '\xff\xd8\xff\xe0', /photo\.jpg is a JPEG image, not a model/],
  ['paper.pdf', '%PDF-1.7\n', /paper\.pdf is a PDF document, not a model/],
  ['base.safetensors', '<!doctype html>', /base\.safetensors is a web page, not a model/],
]) {
  test(`a file that is no model is named: ${name}`, async (t) => {
    const page = await demo(t);
    const bytes = Buffer.from(start + 'x'.repeat(500), 'latin1');
    await drop(page, SFT, { name, bytes });
    await page.click('text=Restore the model');
    const text = await errorText(page);
    assert.match(text, kind);
    assert.ok(kind.source.includes('web page') || !text.includes('web page'), text);
    // The same file as a delta, beside a good base.
    await drop(page, BASE, { name: 'photo.bitx', bytes });
    await page.click('text=Restore the model');
    await page.waitForSelector('#error:not([hidden])');
    assert.match(await page.innerText('#error'), /photo\.bitx is .*, not a delta/);
  });
}

test('any file shows what is inside', async (t) => {
  const page = await demo(t);
  await drop(page, BASE);
  await page.click('text=Look inside');
  await page.waitForSelector('text=Inside base-bf16.safetensors');
  assert.match(await page.innerText('.tiles'), /Tensors\s+14\s+1\.19 MB.*BF16/s);
  await page.fill('#result input[type=search]', 'query weight');
  assert.deepEqual(await page.locator('#tensors tbody th').allInnerTexts(), [
    'encoder.layer.0.attention.self.query.weight',
  ]);
  await page.click('#base-slot button');
  await drop(page, { name: 'notes.txt', bytes: Buffer.from('just some notes') });
  await page.click('text=Look inside');
  await page.waitForSelector('text=Inside notes.txt');
  assert.match(await page.innerText('#result'), /notes\.txt has no tensors that bitx knows/);
});

test('a base that does not help is called so', async (t) => {
  const page = await demo(t);
  let state = 7;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
  const noise = () => Buffer.from(Uint8Array.from({ length: 200_000 }, random));
  const models = ['base', 'stranger'].map((name) => ({
    name: `${name}.safetensors`,
    bytes: safetensors({ weight: noise() }),
  }));
  await drop(page, ...models);
  await page.click('#compare');
  await page.waitForSelector('text=They are strangers');
  assert.match(await page.innerText('#note'), /does not help/);
  await page.click('text=Make a .bitx');
  await page.waitForSelector('text=Compressed');
  assert.match(await page.innerText('#note.warning'), /This base does not help/);
});

test('two models are compared', async (t) => {
  const page = await demo(t);
  await drop(page, SFT, BASE);
  await page.click('text=Restore the model');
  const tuned = await save(page);
  await page.waitForSelector('#go:enabled');
  await page.click('#other-slot button');
  await drop(page, tuned);
  await page.click('#compare');
  await page.waitForSelector('text=They are family');
  assert.match(await page.innerText('.tiles'), /Bit distance\s+1\.8.*Unchanged\s+28 %.*Predicted\s+252 kB/s);
  await drop(page, BASE, { ...BASE, name: 'again.safetensors' });
  await page.click('#compare');
  await page.waitForSelector('text=The same weights');
});

/** Mounts files as a hub of models does: with ranges, for pages of other origins. */
function mountHub(t, files) {
  const cors = { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' };
  const asked = [];
  env.mounts['/models-hub/'] = (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://x').pathname).replace('/models-hub/', '');
    if (request.method === 'OPTIONS') {
      return response.writeHead(204, { ...cors, 'access-control-allow-headers': '*' }).end();
    }
    asked.push(path);
    const body = files[path];
    if (!body) return response.writeHead(404, cors).end('not found');
    const { start, end } = rangeOf(request.headers.range, body.length) ?? { start: 0, end: body.length };
    const range = request.headers.range && { 'content-range': `bytes ${start}-${end - 1}/${body.length}` };
    const length = { 'content-length': end - start, 'accept-ranges': 'bytes', etag: '"1"' };
    response.writeHead(range ? 206 : 200, { ...cors, ...length, ...range }).end(body.subarray(start, end));
  };
  t.after(() => delete env.mounts['/models-hub/']);
  return { address: `${env.plain.address}models-hub/`, asked };
}

test('models come from addresses, and by their ids from a hub', async (t) => {
  const [first, second] = shards();
  const listing = (...names) =>
    Buffer.from(JSON.stringify({ siblings: names.map((rfilename) => ({ rfilename })) }));
  const names = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  const hub = mountHub(t, {
    'api/models/org/base/revision/main': listing('README.md', names[1], names[0], 'onnx/model.onnx'),
    [`org/base/resolve/main/${names[0]}`]: first,
    [`org/base/resolve/main/${names[1]}`]: second,
    'tuned one.safetensors': first,
  });
  const page = await demo(t);
  await page.click('#by-address summary');
  await page.fill('#id-hub', hub.address);
  await page.fill('#addresses', 'org/base');
  await page.click('#add-addresses');
  await page.waitForSelector('#base-slot.filled');
  assert.match(await page.innerText('#base-slot'), /base\/model\.safetensors, 2 files, 127\.0\.0\.1/);
  assert.deepEqual(hub.asked, ['api/models/org/base/revision/main']);
  await page.fill('#addresses', `${hub.address}tuned%20one.safetensors`);
  await page.click('#add-addresses');
  await page.click('text=Make a .bitx');
  assert.equal((await save(page)).name, 'tuned one.bitx');
  await page.waitForSelector('#go:enabled');
  await page.fill('#addresses', 'org/nothing');
  await page.click('#add-addresses');
  assert.match(await errorText(page), /no such model.*org\/nothing was not found at 127/s);
  await page.fill('#addresses', 'ftp://x/y');
  await page.click('#add-addresses');
  await page.waitForSelector('#error >> text=neither an address of the web nor a model id');
});
