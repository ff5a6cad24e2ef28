import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { hubMount } from '../../scripts/lib/demo-hub.mjs';
import { addHub, variant } from './hub-support.mjs';
import { environment, openPage, SHA256, sha256, vectors } from './support.mjs';

const env = addHub(environment());
let seed = 500;

/** Opens the demo with the test's hub beside it, and lists the models. */
async function demo(t, { token = 'writer' } = {}) {
  env.mounts['/hub.json'] = hubMount({ address: env.proxy.address, token });
  t.after(() => env.proxy.reset());
  const page = await openPage(t, env, { path: '' });
  await page.waitForSelector('#sample:enabled');
  await page.click('#hub-connect');
  await page.waitForSelector('#upload:not([hidden])');
  return page;
}

const row = (page, name) => page.locator('.model', { has: page.locator(`strong:text-is("${name}")`) });

async function pull(page, name) {
  await row(page, name).getByRole('button').click();
  await page.waitForSelector(`h2:text-is("Pulled ${name}")`);
}

async function choose(page, name, buffer) {
  await page.waitForSelector('#upload-file:enabled', { state: 'attached' });
  await page.setInputFiles('#upload-file', { name, buffer, mimeType: 'application/octet-stream' });
}

test('models are listed, pulled and saved, the second as a delta', async (t) => {
  const page = await demo(t);
  for (const name of ['base', 'sft', 'rl', 'lora']) {
    assert.match(
      await row(page, `models/${name}`).innerText(),
      /1\.19 MB in 2 files.*would be fetched whole/s,
    );
  }
  await pull(page, 'models/base');
  assert.match(await page.innerText('.tiles'), /no base was cached/);
  await page.waitForSelector('#hub-connect:enabled');
  assert.match(await row(page, 'models/base').innerText(), /in the cache/);
  assert.match(await row(page, 'models/sft').innerText(), /saves \d+ %\s+\d+ kB against models\/base/);
  env.proxy.reset();
  await pull(page, 'models/sft');
  assert.match(await page.innerText('.tiles'), /delta against models\/base.*Saved\s+(7|8|9)\d %/s);
  assert.ok(env.proxy.hits('GET', /model\.safetensors/).every(({ search }) => search.startsWith('?base=')));
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save')]);
  assert.equal(sha256(readFileSync(await download.path())), SHA256.sft);
});

test('a file is inspected, uploaded and listed', async (t) => {
  const page = await demo(t);
  const model = variant(env.models.sft, ++seed);
  assert.equal(await page.isVisible('#upload-form'), false, 'there is nothing to upload yet');
  await pull(page, 'models/base');
  await choose(page, `tuned ${seed}.safetensors`, model);
  await page.waitForSelector('#upload-plan:not([hidden])');
  const plan = await page.innerText('#upload-plan');
  assert.match(plan, /The hub has\s+\d+ of 14 tensors.*as a delta against models\/base/s);
  assert.match(plan, /models\/base.*in the cache/s);
  assert.equal(await page.inputValue('#upload-name'), `mine/tuned-${seed}`);
  const name = `new/tuned-${seed}`;
  await page.fill('#upload-name', name);
  await page.click('#upload-go');
  await page.waitForSelector(`h2:text-is("Published ${name}")`);
  assert.match(await page.innerText('.tiles'), /Sent\s+\d+ kB\s+delta against models\/base/);
  await row(page, name).waitFor();
  const served = await fetch(`${env.hub.address}models/${name}/files/tuned%20${seed}.safetensors`);
  assert.equal(sha256(Buffer.from(await served.arrayBuffer())), sha256(model));
});

test('a file that the hub has is not sent', async (t) => {
  const page = await demo(t);
  await choose(page, 'copy.safetensors', env.models.lora);
  await page.waitForSelector('#upload-plan:not([hidden])');
  assert.match(await page.innerText('#upload-plan'), /nothing has to be sent/);
  await page.fill('#upload-name', `new/copy-${++seed}`);
  await page.click('#upload-go');
  await page.waitForSelector(`h2:text-is("Published new/copy-${seed}")`);
  assert.equal(env.proxy.hits('PUT').length, 0);
});

test('an upload is cancelled, and continues', async (t) => {
  const page = await demo(t);
  const model = variant(env.models.sft, ++seed);
  await choose(page, 'mine.safetensors', model);
  await page.waitForSelector('#upload-plan:not([hidden])');
  await page.fill('#upload-name', `new/mine-${seed}`);
  env.proxy.fault = ({ method }) => (method === 'PUT' ? { holdBody: true } : undefined);
  await page.click('#upload-go');
  await page.waitForSelector('#work-text:text-matches("^Sending")');
  await page.click('#cancel');
  await page.waitForSelector('#upload-go:enabled');
  for (const id of ['#result', '#error', '#work']) assert.equal(await page.isVisible(id), false);
  env.proxy.reset();
  await page.click('#upload-go');
  await page.waitForSelector(`h2:text-is("Published new/mine-${seed}")`);
});

test('a refusal is explained', async (t) => {
  const page = await demo(t, { token: 'reader' });
  await choose(page, 'mine.safetensors', variant(env.models.sft, ++seed));
  await page.waitForSelector('#error:not([hidden])');
  assert.match(await page.innerText('#error'), /does not allow that.*forbidden/s);
  await page.fill('#hub-token', 'of nobody');
  await page.click('#hub-connect');
  await page.waitForSelector('#error >> text=wants to know who you are');
});

test('without a hub beside it, the page asks for an address', async (t) => {
  delete env.mounts['/hub.json'];
  const page = await openPage(t, env, { path: '' });
  await page.waitForSelector('#hub-connect:enabled');
  assert.equal(await page.inputValue('#hub-url'), '');
  assert.equal(await page.isVisible('#upload'), false);
  await page.fill('#hub-url', env.proxy.address);
  await page.click('#hub-connect');
  await row(page, 'models/base').waitFor();
  t.after(() => env.proxy.reset());
});

test('after a failed list, the old hub is gone', async (t) => {
  const page = await demo(t);
  await choose(page, 'mine.safetensors', variant(env.models.sft, ++seed));
  await page.waitForSelector('#upload-plan:not([hidden])');
  await page.waitForSelector('#hub-connect:enabled');
  await page.fill('#hub-url', 'http://127.0.0.1:9/');
  await page.click('#hub-connect');
  await page.waitForSelector('#error:not([hidden])');
  for (const id of ['#models', '#upload', '#upload-form']) assert.equal(await page.isVisible(id), false, id);
  assert.doesNotMatch(await page.innerText('#error'), /report/);
  await page.fill('#hub-url', env.proxy.address);
  await page.click('#hub-connect');
  await row(page, 'models/base').waitFor();
  await choose(page, 'mine.safetensors', variant(env.models.sft, ++seed));
  await page.waitForSelector('#upload-plan:not([hidden])');
});

test('a list that is cancelled leaves no hub either', async (t) => {
  const page = await demo(t);
  await page.waitForSelector('#hub-connect:enabled');
  await page.route('**/api/models', () => {});
  env.proxy.fault = ({ path }) => (path === '/api/models' ? { delay: 10_000, cutAfter: 0 } : undefined);
  await page.click('#hub-connect');
  await page.click('#cancel');
  await page.waitForSelector('#hub-connect:enabled');
  for (const id of ['#models', '#upload', '#error']) assert.equal(await page.isVisible(id), false, id);
});

test('the placeholder of the address is that of `bitx serve`', async (t) => {
  const page = await openPage(t, env, { path: '' });
  const source = readFileSync(new URL('../../cli/src/serve/mod.rs', import.meta.url), 'utf8');
  const [, port] = /default_value = "127\.0\.0\.1:(\d+)"/.exec(source);
  const placeholder = await page.getAttribute('#hub-url', 'placeholder');
  assert.equal(new URL(placeholder).port, port);
});

test('an address that is no hub is called so', async (t) => {
  const page = await openPage(t, env, { path: '' });
  await page.waitForSelector('#hub-connect:enabled');
  await page.fill('#hub-url', env.isolated.address);
  await page.click('#hub-connect');
  await page.waitForSelector('#error:not([hidden])');
  const text = await page.innerText('#error');
  assert.match(text, /no hub at this address.*answers, but not as a hub/s);
  assert.doesNotMatch(text, /no such model/);
});

test('only bases that have something in common are called fitting', async (t) => {
  const page = await demo(t);
  await choose(page, 'other.safetensors', readFileSync(join(vectors, 'base-f16.safetensors')));
  await page.waitForSelector('#upload-plan:not([hidden])');
  const bases = await page.locator('.bases .aside').allInnerTexts();
  for (const text of bases) {
    const shares = [...text.matchAll(/([\d.]+) %/g)].map(([, share]) => Number(share));
    assert.ok(Math.max(...shares) >= 5, text);
  }
});
