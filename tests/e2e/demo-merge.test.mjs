/** Your models: adapters that are merged, and models at addresses that are compared. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { drop, errorText, demo as openDemo, save } from './demo-support.mjs';
import { adapters, shards, vector } from './merge-support.mjs';
import { environment, sha256, vectors } from './support.mjs';

const env = environment();
env.mounts['/adapters/'] = adapters;
const whole = readFileSync(join(vectors, 'base-bf16.safetensors'));
env.mounts['/rangeless'] = (_, response) => response.writeHead(200).end(whole);
const demo = (t, options) => openDemo(t, env, options);
const hint = (page) => page.innerText('#hint');
const go = (page) => page.innerText('#go');

const { base, adapter, config, merged } = vector(adapters, 'f32');
const file = (path, name = path.split('/').at(-1)) => ({ name, bytes: readFileSync(path) });
const expected = readFileSync(merged);

async function mergedResult(page) {
  await page.click('#go');
  await page.waitForSelector('#result:not([hidden])');
  assert.equal(await page.innerText('#result h2'), 'Merged');
  assert.match(await page.innerText('#checked'), /^This is a computation and not a restore/);
}

/** Adds addresses, as a user does. */
async function addresses(page, ...lines) {
  if (!(await page.isVisible('#addresses'))) await page.click('#by-address summary');
  await page.fill('#addresses', lines.join('\n'));
  await page.click('#add-addresses');
}

for (const isolated of [true, false]) {
  test(`a base, an adapter and its configuration are merged and saved, isolated: ${isolated}`, async (t) => {
    const page = await demo(t, { isolated });
    await drop(page, file(config), file(adapter), file(base));
    assert.equal(await go(page), 'Merge the adapter');
    assert.match(await page.innerText('#other-slot'), /adapter_model\.safetensors.*with its configuration/);
    await mergedResult(page);
    const saved = await save(page);
    assert.equal(saved.name, 'merged-base.safetensors');
    assert.ok(saved.bytes.equals(expected));
    assert.match(await page.innerText('#digest'), new RegExp(sha256(expected)));
    await page.fill('#expected', sha256(expected));
    assert.equal(await page.innerText('#verdict'), 'SHA-256 matches');
    assert.equal(await page.innerText('#result h2'), 'Merged');
  });
}

test('the page says what is missing for a merge, in any order', async (t) => {
  const page = await demo(t);
  await drop(page, file(adapter));
  assert.equal(await hint(page), 'Add its adapter_config.json to merge the adapter.');
  assert.equal(await go(page), 'Look inside');
  await drop(page, file(config));
  assert.equal(await hint(page), 'Add its base to merge the adapter.');
  await drop(page, file(base));
  assert.equal(await go(page), 'Merge the adapter');
  await mergedResult(page);
  // Another fine-tune in the adapter's place is no adapter.
  await page.click('#other-slot button');
  await drop(page, file(merged));
  assert.equal(await go(page), 'Make a .bitx');
});

test('the shards of a base are merged one by one', async (t) => {
  const page = await demo(t);
  const parts = shards(base).map((bytes, i) => ({ name: `m-0000${i + 1}-of-00002.safetensors`, bytes }));
  await drop(page, ...parts, file(adapter), file(config));
  await mergedResult(page);
  const names = await page.$$eval('#result [download]', (links) => links.map(({ download }) => download));
  assert.deepEqual(
    names,
    parts.map(({ name }) => `merged-${name}`),
  );
});

test('a base and an adapter at addresses are merged', async (t) => {
  const page = await demo(t);
  const { address } = env.isolated;
  const place = (name) => `${address}adapters/f32/${name}`;
  await addresses(page, place('base.safetensors'), place('adapter_model.safetensors'));
  assert.equal(await go(page), 'Merge the adapter');
  await mergedResult(page);
  assert.ok((await save(page)).bytes.equals(expected));
});

test('an adapter that cannot be merged says why', async (t) => {
  const page = await demo(t);
  const dora = { name: 'adapter_config.json', bytes: Buffer.from('{"peft_type": "LORA", "use_dora": true}') };
  await drop(page, file(base), file(adapter), dora);
  await page.click('#go');
  assert.match(await errorText(page), /use_dora/);
  const other = vector(adapters, 'f32-transposed');
  await drop(page, file(other.base), file(adapter), file(config));
  await page.click('#go');
  assert.match(await errorText(page), /base/);
});

test('two models at addresses are compared, from parts of them', async (t) => {
  const page = await demo(t);
  const { address } = env.isolated;
  const fetched = [];
  page.on('request', (request) => {
    if (request.url().includes('/adapters/')) fetched.push(request.headers().range);
  });
  const at = (name) => `${address}adapters/f32/${name}`;
  await addresses(page, at('base.safetensors'), at('merged.safetensors'));
  assert.equal(await go(page), 'Make a .bitx');
  await page.click('#compare');
  await page.waitForSelector('#result:not([hidden])');
  assert.match(await page.innerText('#result h2'), /family|relatives|strangers/);
  assert.match(await page.innerText('#result'), /Bit distance[\s\S]*Predicted/);
  assert.ok(fetched.length > 0 && fetched.every((range) => range), `${fetched}`);
});

test('a server without ranges cannot be compared with, and the page says so', async (t) => {
  const page = await demo(t);
  const { address } = env.isolated;
  await addresses(page, `${address}vectors/base-bf16.safetensors`, `${address}rangeless`);
  await page.click('#compare');
  assert.match(await errorText(page), /not sent by ranges/);
});
