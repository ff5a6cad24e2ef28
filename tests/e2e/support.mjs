import { createHash } from 'node:crypto';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../../scripts/lib/browser.mjs';
import { demoDist, packageDist } from '../../scripts/lib/paths.mjs';
import { serve } from '../../scripts/lib/server.mjs';
import { brokenWorkers } from './broken-workers.mjs';

export const vectors = fileURLToPath(new URL('../vectors/mini', import.meta.url));

/** SHA-256 of the models that the archives in `vectors` restore to. */
export const SHA256 = {
  sft: 'f8af02d076e6ba592984356089a885b89508231b7cf23ab19f7b12e3fee56910',
  lora: '1a51edfbd6542f11e10c51b1442b20c46d1ea40944aa8a7f773a03bc79c06279',
};

export function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Answers that a broken network gives. */
const network = {
  '/net/html': (_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Sign in</title>'),
  '/net/cut': (_, response) => {
    response.writeHead(200, { 'content-length': 1000 }).write('only this');
    setTimeout(() => response.destroy(), 50);
  },
  '/net/hang': () => {},
};

const blank = (_, response) =>
  response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>');

/** Starts a browser and two servers, one of them isolated, for the tests of one file. Tests may add `mounts`. */
export function environment() {
  const env = {};
  const mounts = {
    ...network,
    ...brokenWorkers,
    '/': demoDist,
    '/blank': blank,
    '/bitx/': packageDist,
    '/vectors/': vectors,
  };
  env.mounts = mounts;
  before(async () => {
    env.browser = await launch();
    env.isolated = await serve({ mounts });
    env.plain = await serve({ mounts, isolated: false });
  });
  after(async () => {
    await env.browser?.close();
    for (const { server } of [env.isolated, env.plain]) {
      server.closeAllConnections();
      server.close();
    }
  });
  return env;
}

/** Opens a page of its own profile; errors that the page does not handle fail the test. */
export async function openPage(t, env, { path = 'blank', isolated = true } = {}) {
  const context = await env.browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const unhandled = [];
  page.on('pageerror', (error) => unhandled.push(error));
  t.after(() => {
    if (unhandled.length > 0) throw new AggregateError(unhandled, 'errors that the page did not handle');
  });
  await page.goto((isolated ? env.isolated : env.plain).address + path);
  return page;
}
