/** Links whose servers do not answer as servers of files do. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { demo } from './demo-support.mjs';
import { environment } from './support.mjs';

const env = environment();
const CORS = { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' };

/** Starts a server of another origin: its address, its requests, and those that are open. */
async function hostile(t, answer) {
  const state = { requests: 0, open: 0 };
  const server = createServer((_, response) => {
    state.requests++;
    state.open++;
    response.on('close', () => state.open--);
    answer(response, state.requests);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return Object.assign(state, { address: `http://127.0.0.1:${server.address().port}/` });
}

/** Answers with the first and only bytes of a file that is no model. */
function answerNoModel(response) {
  const length = { 'content-range': 'bytes 0-99/100', 'content-length': 100 };
  response.writeHead(206, { ...CORS, ...length }).end(Buffer.alloc(100, 7));
}

/** Sends bytes as long as they are read. */
function answerForEver(response) {
  const send = () => {
    if (response.destroyed) return;
    if (response.write(Buffer.alloc(1 << 16, 7))) setImmediate(send);
    else response.once('drain', send);
  };
  response.writeHead(200, CORS);
  send();
}

/** Opens a link to the server, which must cost nothing, and allows its files. */
async function allow(t, server, path) {
  const page = await demo(t, env, { path });
  await page.waitForSelector('#allow');
  await page.waitForTimeout(300);
  assert.equal(server.requests, 0);
  await page.click('#allow');
  return page;
}

async function until(what, condition) {
  for (let tries = 0; tries < 100 && !condition(); tries++) await new Promise((r) => setTimeout(r, 100));
  assert.ok(condition(), what);
}

/** Cancels the task, and checks that nothing of it is left. */
async function cancel(page, server) {
  await page.click('#cancel');
  await page.waitForSelector('#notice:not([hidden])');
  assert.match(await page.innerText('#notice'), /^Cancelled while/);
  await page.waitForSelector('#sample:enabled');
  await until('the connection is still open', () => server.open === 0);
}

for (const [kind, query] of [
  ['model', (at) => `?model=${at}a.safetensors`],
  ['delta', (at) => `?base=${at}base.safetensors&delta=${at}a.bitx`],
]) {
  test(`a ${kind} without an end shows its bytes, and can be cancelled`, async (t) => {
    const server = await hostile(t, answerForEver);
    const page = await allow(t, server, query(server.address));
    await page.waitForFunction(() =>
      /^Fetching \d+ MB$/.test(document.querySelector('#work-text').textContent),
    );
    await cancel(page, server);
  });
}

test('a server that falls silent after a wrong file can be cancelled', async (t) => {
  const server = await hostile(t, (response, nth) => nth === 1 && answerNoModel(response));
  const page = await allow(t, server, `?model=${server.address}a.safetensors`);
  await until('the beginning was not asked for', () => server.requests === 2);
  await cancel(page, server);
});

test('a server that falls silent after a wrong file is not waited for', async (t) => {
  const server = await hostile(t, (response, nth) => nth === 1 && answerNoModel(response));
  const page = await allow(t, server, `?model=${server.address}a.safetensors`);
  await page.waitForSelector('text=has no tensors that bitx knows');
  await until('the connection is still open', () => server.open === 0);
});

test('no more than the beginning is read of a wrong file', async (t) => {
  const answer = (response, nth) => (nth === 1 ? answerNoModel(response) : answerForEver(response));
  const server = await hostile(t, answer);
  const page = await allow(t, server, `?model=${server.address}a.safetensors`);
  await page.waitForSelector('text=has no tensors that bitx knows');
  await until('the connection is still open', () => server.open === 0);
});
