import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as forward } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { blake3 } from 'hash-wasm';
import { addModel, commandLine, sampleModels, serveStore } from '../../scripts/lib/hub.mjs';
import { generator } from './cache-origin.mjs';
import { cacheEnvironment, cachePage } from './cache-support.mjs';

/** The tokens of the test's hub, with their rights. */
const RIGHTS = {
  writer: { read: ['models/*', 'new/*'], write: ['new/*', 'mine/*'] },
  reader: { read: ['models/*', 'new/*'] },
};

/** The headers that let a page of another origin read the proxy's own answers. */
const CORS = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'retry-after, upload-offset',
};

/** The environment of the cache's tests, and a hub. */
export function hubEnvironment() {
  return addHub(cacheEnvironment());
}

/** Starts `bitx serve` on a store of sample models, behind a proxy. */
export function addHub(env) {
  env.proxy = new Middleman();
  before(async () => {
    env.store = mkdtempSync(join(tmpdir(), 'bitx-hub-'));
    const bitx = await commandLine();
    const models = await sampleModels(bitx, join(env.store, 'models'));
    for (const [name, folder] of Object.entries(models)) {
      await addModel(bitx, join(env.store, 'store'), `models/${name}`, folder);
    }
    env.models = Object.fromEntries(
      Object.entries(models).map(([name, folder]) => [name, readFileSync(join(folder, 'model.safetensors'))]),
    );
    const tokens = join(env.store, 'tokens.json');
    writeFileSync(tokens, JSON.stringify(await entries()));
    env.hub = await serveStore(bitx, join(env.store, 'store'), { tokens });
    await env.proxy.start(env.hub.address);
  });
  after(async () => {
    await env.proxy.stop();
    await env.hub?.stop();
    if (env.store) rmSync(env.store, { recursive: true, force: true });
  });
  return env;
}

/** The tokens as the server stores them: by digest, besides the public rights. */
async function entries() {
  const named = Object.entries(RIGHTS).map(async ([name, rights]) => ({
    ...{ name, blake3: await blake3(name) },
    ...rights,
  }));
  return [{ name: 'everybody', read: ['models/*', 'new/*'] }, ...(await Promise.all(named))];
}

/** Opens a page with a hub's client and an empty cache for the test. */
export async function hubPage(t, env) {
  const page = await cachePage(t, env);
  t.after(() => env.proxy.reset());
  await page.evaluate(
    async ([name, url]) => {
      const { BitxHub } = await import('/bitx/hub.js');
      // Chunks are fetched one after another, so that an interrupted download leaves complete ones.
      globalThis.cache = await open({ name, connections: 1, stallTimeout: 60_000 });
      const quick = { retryDelay: 5, stallTimeout: 10_000, partSize: 1 << 14 };
      globalThis.hubOf = (options) => new BitxHub({ url, cache, ...quick, ...options });
      globalThis.hub = hubOf({ token: 'writer' });
      globalThis.contents = async (files) =>
        Object.fromEntries(
          await Promise.all([...files].map(async ([path, file]) => [path, await sha256(file)])),
        );
      globalThis.bytesOf = async (url) => (await fetch(url)).blob();
    },
    [t.name.replaceAll(/\W+/g, '-'), env.proxy.address],
  );
  return page;
}

/** Returns a model that differs from another one in some weights, so that no hub has it. */
export function variant(model, seed) {
  const bytes = Buffer.from(model);
  const random = generator(seed);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  for (let i = 0; i < 20_000; i++)
    bytes[start + 2 * Math.floor((random() * (bytes.length - start)) / 2)] ^= 1;
  return bytes;
}

/** A proxy between the page and the hub: keeps a log, and makes faults on request. */
class Middleman {
  /** `(hit) => fault`. A fault replaces the hub's answer or changes it. */
  fault = () => undefined;
  /**
   * All requests except preflights: `{ method, path, search, status, body, sent, text }`; `text` is
   * set for JSON.
   */
  log = [];

  async start(target) {
    this.server = createServer((request, response) => void this.#pass(target, request, response));
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.address = `http://127.0.0.1:${this.server.address().port}/`;
  }

  async stop() {
    this.server?.closeAllConnections();
    this.server?.close();
  }

  reset() {
    this.fault = () => undefined;
    this.log = [];
  }

  /** Returns the requests of a kind. */
  hits(method, pattern = /./) {
    return this.log.filter((hit) => hit.method === method && pattern.test(hit.path + hit.search));
  }

  async #pass(target, request, response) {
    const { pathname: path, search } = new URL(request.url, target);
    const { method, headers } = request;
    const hit = { method, path, search, headers, nth: this.log.length, status: 0, body: 0, sent: 0 };
    if (method !== 'OPTIONS') this.log.push(hit);
    const fault = (method !== 'OPTIONS' && this.fault(hit)) || {};
    if (fault.status) {
      request.resume();
      hit.status = fault.status;
      return response.writeHead(fault.status, { ...CORS, ...fault.headers }).end(fault.body);
    }
    const onward = forward(new URL(request.url, target), { method, headers }, (answer) => {
      hit.status = answer.statusCode;
      response.writeHead(answer.statusCode, answer.headers);
      this.#answer(hit, answer, response, fault);
    });
    onward.on('error', () => response.destroy());
    // The hub never sees the end of the request.
    if (fault.holdBody) return request.resume();
    request.on('data', (bytes) => {
      hit.body += bytes.length;
      if (hit.body > (fault.cutBody ?? Infinity)) {
        onward.destroy();
        request.destroy();
      } else onward.write(fault.damageBody?.(bytes) ?? bytes);
      if (headers['content-type'] === 'application/json') hit.text = (hit.text ?? '') + bytes;
    });
    request.on('end', () => onward.end());
  }

  /** Passes the hub's answer on; a fault may damage it, slow it down or cut it off. */
  async #answer(hit, answer, response, { damage, cutAfter = Infinity, delay, loseAnswer }) {
    if (loseAnswer) return response.destroy();
    for await (const chunk of answer) {
      const bytes = damage ? damage(Buffer.from(chunk), hit.sent) : chunk;
      for (let at = 0; at < bytes.length; at += 8192) {
        const part = bytes.subarray(at, at + 8192);
        if (response.destroyed) return answer.destroy();
        if (hit.sent + part.length > cutAfter) {
          // Half of the answer arrives before the connection is cut.
          return response.write(part.subarray(0, part.length / 2), () => response.destroy());
        }
        response.write(part);
        hit.sent += part.length;
        if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
      }
    }
    response.end();
  }
}
