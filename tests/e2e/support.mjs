import { createHash } from 'node:crypto';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../../scripts/lib/browser.mjs';
import { demoDist, packageDist } from '../../scripts/lib/paths.mjs';
import { serve } from '../../scripts/lib/server.mjs';
import { brokenWorkers } from './broken-workers.mjs';

export const vectors = fileURLToPath(new URL('../vectors/mini', import.meta.url));

/** The SHA-256 of the models that the archives in `vectors` restore to. */
export const SHA256 = {
  sft: 'f8af02d076e6ba592984356089a885b89508231b7cf23ab19f7b12e3fee56910',
  lora: '1a51edfbd6542f11e10c51b1442b20c46d1ea40944aa8a7f773a03bc79c06279',
};

export function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The answers of a broken network. */
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

/**
 * Starts a browser and two servers, one of them isolated, for the tests of one file. Tests may add
 * `mounts`.
 */
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

/**
 * The time limit of every question to a page, so that a question that hangs fails its own test and
 * not the whole file.
 */
const EVALUATION_LIMIT_MS = 120_000;

/** Limits the time of a page's evaluations, which have no limit of their own. */
export function patient(page) {
  page.setDefaultTimeout(60_000);
  const evaluate = page.evaluate.bind(page);
  page.evaluate = async (run, ...args) => {
    let timer;
    const limit = new Promise((_, reject) => {
      const late = () => reject(new Error(`the page did not answer: ${String(run).slice(0, 400)}`));
      timer = setTimeout(late, EVALUATION_LIMIT_MS);
    });
    const result = evaluate(run, ...args);
    return Promise.race([result, limit]).finally(() => clearTimeout(timer));
  };
  return page;
}

/**
 * Returns the tasks of more than 50 ms in the page while `work` runs there, in the quietest of some
 * rounds.
 */
export async function longTasks(page, work, arg) {
  await page.evaluate(() => {
    globalThis.longTasks = [];
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longTasks.push(duration);
    }).observe({ type: 'longtask' });
  });
  const control = await tasksOf(page, async () => {
    // Code that the driver evaluates does not count as a task of the page.
    await new Promise((resolve) => setTimeout(resolve));
    const end = performance.now() + 80;
    while (performance.now() < end);
  });
  if (control.length === 0) throw new Error('long tasks are not seen here');
  let tasks = [];
  // A busy machine makes any task long now and then. A task that is long by itself is so in every
  // round.
  for (let round = 0; round < 4; round++) {
    tasks = await tasksOf(page, work, arg);
    if (tasks.length === 0) break;
  }
  return tasks;
}

async function tasksOf(page, work, arg) {
  // Entries arrive a little later than their tasks.
  const settled = () => page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 200)));
  await settled();
  await page.evaluate(() => longTasks.splice(0));
  await page.evaluate(work, arg);
  await settled();
  return page.evaluate(() => longTasks);
}

/** Opens a page in a profile of its own. Errors that the page does not handle fail the test. */
export async function openPage(t, env, { path = 'blank', isolated = true } = {}) {
  const context = await env.browser.newContext();
  t.after(() => context.close());
  const page = patient(await context.newPage());
  const unhandled = [];
  page.on('pageerror', (error) => unhandled.push(error));
  t.after(() => {
    if (unhandled.length > 0) throw new AggregateError(unhandled, 'errors that the page did not handle');
  });
  await page.goto((isolated ? env.isolated : env.plain).address + path);
  return page;
}
