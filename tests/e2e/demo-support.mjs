import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../scripts/lib/paths.mjs';
import { openPage, vectors } from './support.mjs';

/** The description of the sample, as the page was built with it. */
export const sample = JSON.parse(readFileSync(join(root, 'www', 'generated', 'sample.json'), 'utf8'));

export const vector = (name) => ({ name, bytes: readFileSync(join(vectors, name)) });
export const BASE = vector('base-bf16.safetensors');
export const SFT = vector('sft-bf16.v2.bitx');

/** Opens the demo, and waits until it is ready. */
export async function demo(t, env, options) {
  const page = await openPage(t, env, { path: '', ...options });
  await page.waitForSelector('#engine[data-mode]');
  return page;
}

/** Drops files on the page, like a user. */
export async function drop(page, ...files) {
  const contents = files.map(({ name, bytes }) => ({ name, text: Buffer.from(bytes).toString('base64') }));
  const transfer = await page.evaluateHandle((contents) => {
    const transfer = new DataTransfer();
    for (const { name, text } of contents) {
      transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
    }
    return transfer;
  }, contents);
  for (const type of ['dragover', 'drop']) await page.dispatchEvent('main', type, { dataTransfer: transfer });
}

/** Saves the result and returns the file. */
export async function save(page) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save')]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

/** Waits for the visible error, and checks that there is nothing to save. */
export async function errorText(page) {
  await page.waitForSelector('#error:not([hidden])');
  assert.equal(await page.isVisible('#result'), false);
  assert.equal(await page.isVisible('#work'), false);
  return page.innerText('#error');
}

/** Runs a fine-tune of the sample, and waits until the page is idle again. */
export async function runSample(page, tune = sample.tunes[0]) {
  await page.check(`input[value="${tune.id}"]`);
  await page.click('#sample');
  await page.waitForSelector('#result h2.good');
  await page.waitForSelector('#sample:enabled');
}

/** Returns a safetensors file of BF16 tensors: `{ name: bytes }`. */
export function safetensors(tensors) {
  let at = 0;
  const header = {};
  for (const [name, bytes] of Object.entries(tensors)) {
    header[name] = { dtype: 'BF16', shape: [bytes.length / 2], data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...Object.values(tensors)]);
}
