import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE, drop, errorText, demo as openDemo, SFT, save, vector } from './demo-support.mjs';
import { environment, SHA256, sha256 } from './support.mjs';

const env = environment();
const demo = (t, options) => openDemo(t, env, options);

test('a base and a delta give the model; a base and a model give a delta', async (t) => {
  const page = await demo(t);
  await drop(page, SFT, BASE);
  await page.click('text=Restore the model');
  const model = await save(page);
  assert.deepEqual([model.name, sha256(model.bytes)], ['sft-bf16.safetensors', SHA256.sft]);

  await page.reload();
  await page.waitForSelector('#engine[data-mode]');
  await drop(page, BASE);
  await drop(page, model);
  await page.selectOption('#effort', 'max');
  await page.click('text=Make a .bitx');
  const delta = await save(page);
  assert.equal(delta.name, 'sft-bf16.bitx');
  assert.ok(delta.bytes.length < SFT.bytes.length);

  await drop(page, delta);
  await page.click('text=Restore the model');
  await page.waitForSelector('text=Restored, bit for bit');
  assert.equal(sha256((await save(page)).bytes), SHA256.sft);
});

test('a delta alone is inspected', async (t) => {
  const page = await demo(t);
  await drop(page, vector('lora-bf16.v1.bitx'));
  await page.waitForSelector('text=Inside lora-bf16.v1.bitx');
  assert.equal(await page.locator('#tensors tbody th').count(), 14);
  assert.equal(await page.locator('#save').count(), 0);
});

test('files can be chosen instead of dropped', async (t) => {
  const page = await demo(t);
  const upload = ({ name, bytes }) => ({ name, buffer: bytes, mimeType: 'application/octet-stream' });
  await page.setInputFiles('#base-file', upload(BASE));
  await page.setInputFiles('#other-file', upload(vector('lora-bf16.v1.bitx')));
  await page.click('text=Restore the model');
  await page.waitForSelector('text=Restored, but not checked');
  assert.equal(sha256((await save(page)).bytes), SHA256.lora);
  await page.fill('#expected', SHA256.lora);
  await page.waitForSelector('text=Restored, bit for bit');
});

test('a base that a v1 archive cannot check is not called right', async (t) => {
  const page = await demo(t);
  // The reference's format restores wrong bytes from another base of the same shapes.
  await drop(page, vector('sft-bf16.v1.bitx'), { name: 'other.safetensors', bytes: tuned() });
  await page.click('text=Restore the model');
  await page.waitForSelector('#result:not([hidden])');
  const text = await page.innerText('#result');
  assert.match(text, /Restored, but not checked.*version 1.*neither the base nor the model/s);
  assert.doesNotMatch(text, /bit for bit/);
  const wrong = sha256((await save(page)).bytes);
  assert.notEqual(wrong, SHA256.sft);
  await page.fill('#expected', 'not a digest');
  assert.match(await page.innerText('#verdict'), /not a SHA-256/);
  await page.fill('#expected', `sha256:${SHA256.sft.toUpperCase()}`);
  assert.match(await page.innerText('#verdict'), /differs/);
  assert.doesNotMatch(await page.innerText('#result'), /bit for bit/);
  await page.fill('#expected', wrong);
  assert.match(await page.innerText('#verdict'), /matches/);
});

/** Returns a base of the right shapes whose weights differ. */
function tuned() {
  const bytes = Buffer.from(BASE.bytes);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  for (let at = start; at < bytes.length; at += 64) bytes[at] ^= 1;
  return bytes;
}

test('a v2 archive tells what was checked', async (t) => {
  const page = await demo(t);
  await drop(page, SFT, BASE);
  await page.click('text=Restore the model');
  await page.waitForSelector('text=Restored, bit for bit');
  assert.match(await page.innerText('#checked'), /every chunk.*checksum/is);
  await page.fill('#expected', SHA256.sft);
  assert.match(await page.innerText('#verdict'), /matches/);
});

for (const viewport of [
  { width: 1280, height: 720 },
  { width: 390, height: 780 },
]) {
  test(`a result and an error are in view, ${viewport.width} pixels wide`, async (t) => {
    const page = await demo(t);
    await page.setViewportSize(viewport);
    const inView = async (selector) => {
      const locator = page.locator(selector);
      await locator.waitFor();
      await page.waitForSelector('#sample:enabled');
      // Scrolling takes some time.
      await page.waitForTimeout(1500);
      const { y, height } = await locator.boundingBox();
      assert.ok(y >= 0 && y + height <= viewport.height, `${selector}: ${y} to ${y + height}`);
    };
    await page.click('#sample');
    await inView('#result h2');
    await inView('#save');
    await page.evaluate(() => scrollTo(0, 0));
    await drop(page, SFT, vector('base-f32.safetensors'));
    await page.click('#go');
    await inView('#error h2');
  });
}

test('without isolation, nothing claims that threads share memory', async (t) => {
  const page = await demo(t, { isolated: false });
  await page.click('#sample');
  await page.waitForSelector('#result:not([hidden])');
  const text = `${await page.innerText('body')} ${await page.getAttribute('#engine', 'title')}`;
  assert.match(text, /each thread has its own memory/);
  assert.doesNotMatch(text, /shar(e|ing) memory/);
});

test('a computation can be cancelled', async (t) => {
  const page = await demo(t);
  // The dialog for saving cannot be answered from here.
  await page.evaluate(() => {
    delete window.showSaveFilePicker;
  });
  await page.evaluate(dropLargeModels, 1 << 30);
  await page.click('text=Make a .bitx');
  await page.waitForFunction(() =>
    document.querySelector('#work-text').textContent.startsWith('Compressing'),
  );
  await page.click('#cancel');
  await page.waitForSelector('#go:enabled');
  assert.match(await page.innerText('#notice'), /Cancelled while compressing/);
  for (const id of ['#result', '#error', '#work']) assert.equal(await page.isVisible(id), false);
});

/** Returns two models of `size` bytes that need little memory: each repeats one block of bytes. */
function dropLargeModels(size) {
  const tensors = Array.from({ length: 32 }, (_, i) => {
    const part = size / 32;
    return [`layer.${i}`, { dtype: 'BF16', shape: [part / 2], data_offsets: [i * part, (i + 1) * part] }];
  });
  const header = JSON.stringify(Object.fromEntries(tensors));
  const block = new Blob([crypto.getRandomValues(new Uint8Array(65536))]);
  const body = new Array(size / 65536).fill(block);
  const parts = [new BigUint64Array([BigInt(header.length)]), header, ...body];
  const dataTransfer = new DataTransfer();
  for (const name of ['base', 'tuned']) dataTransfer.items.add(new File(parts, `${name}.safetensors`));
  document.dispatchEvent(new DragEvent('drop', { dataTransfer }));
}

for (const [archive, title] of [
  [vector('sft-bf16.v1.bitx'), /ends too early.*truncated.*delta/s],
  [SFT, /damaged.*corrupt.*delta/s],
]) {
  test(`a broken archive is explained and saves nothing: ${archive.name}`, async (t) => {
    const page = await demo(t);
    await drop(page, BASE, { name: 'cut.bitx', bytes: archive.bytes.subarray(0, 200_000) });
    await page.click('text=Restore the model');
    assert.match(await errorText(page), title);
  });
}

test('a web page instead of a model is explained', async (t) => {
  const page = await demo(t);
  const html = Buffer.from('<!doctype html><title>Sign in</title>');
  await drop(page, SFT, { name: 'base.safetensors', bytes: html });
  await page.click('text=Restore the model');
  assert.match(await errorText(page), /not the kind of file.*base/s);
});

test('a wrong base is explained, and the right one works then', async (t) => {
  const page = await demo(t);
  const [last] = Uint8Array.from(BASE.bytes.subarray(-1));
  const nearly = Buffer.concat([BASE.bytes.subarray(0, -1), Buffer.of(last ^ 1)]);
  for (const base of [vector('base-f32.safetensors'), { name: 'other.safetensors', bytes: nearly }]) {
    await drop(page, SFT, base);
    await page.click('text=Restore the model');
    const text = await errorText(page);
    assert.match(text, /not the base of that delta/);
    assert.ok(text.includes(`${SFT.name} was made against another model than ${base.name}.`), text);
  }
  await drop(page, BASE);
  await page.click('text=Restore the model');
  await page.waitForSelector('text=Restored, bit for bit');
  assert.equal(await page.isVisible('#error'), false);
});
