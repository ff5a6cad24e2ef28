/**
 * A model of several windows and its fine-tune, on the server of the tests that share an
 * environment.
 */
import { before } from 'node:test';
import { modelPair } from '../../scripts/lib/random-models.mjs';
import { FaultyFile } from './faulty-file.mjs';
import { openPage, sha256 } from './support.mjs';

/**
 * Makes models of a number of tensors, 8 MiB each, and returns a function that opens a page with
 * both and the delta between them.
 */
export function largeModels(env, tensors) {
  const models = {};
  before(() => {
    const pieces = [...modelPair(tensors)];
    models.base = Buffer.concat(pieces.map(({ base }) => base));
    models.target = Buffer.concat(pieces.map(({ target }) => target));
    models.sha256 = sha256(models.target);
  });

  /** The first page makes the delta, and stores it here for the others. */
  const keptDelta = async (request, response) => {
    if (request.method === 'PUT') models.delta = Buffer.concat(await request.toArray());
    response.writeHead(models.delta ? 200 : 204).end(request.method === 'PUT' ? undefined : models.delta);
  };

  /** Opens a page with a Bitx. `options` are those of the Bitx; `isolated` is for the page. */
  const site = async (t, { isolated, ...options } = {}) => {
    const base = new FaultyFile(models.base);
    const target = new FaultyFile(models.target);
    Object.assign(env.mounts, {
      '/models/base': base.mount,
      '/models/target': target.mount,
      '/models/delta': keptDelta,
    });
    const page = await openPage(t, env, { isolated });
    await page.evaluate(prepare, options);
    base.log.length = 0;
    return { page, base };
  };
  return { models, site };
}

/** Returns the number of bytes of a file that the server has sent. */
export const sentBy = ({ log }) => log.reduce((sum, { sent }) => sum + sent, 0);

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs in the page. */
async function prepare(options) {
  const { Bitx, BitxError } = await import('/bitx/index.js');
  const bitx = await Bitx.create({ threads: 2, ...options });
  const base = '/models/base';
  const kept = await fetch('/models/delta');
  const delta =
    kept.status === 200
      ? await kept.blob()
      : await bitx.compress({ base, target: '/models/target', effort: 'fast' });
  if (kept.status !== 200) await fetch('/models/delta', { method: 'PUT', body: delta });
  const bytes = async (blob) => new Uint8Array(await blob.arrayBuffer());
  const failure = async (promise) => {
    const error = await promise.then(
      () => new BitxError('it succeeded'),
      (thrown) => thrown,
    );
    if (!(error instanceof BitxError)) throw error;
    const { code, file, tensor, message } = error;
    return { code, file, tensor, message };
  };
  Object.assign(globalThis, {
    bitx,
    base,
    delta,
    bytes,
    failure,
    codeOf: async (promise) => (await failure(promise)).code,
    sha256: async (blob) => {
      const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
      return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
    },
    /** The delta with a changed byte near its end, where the last window's chunks are. */
    damaged: async () => {
      const damaged = await bytes(delta);
      damaged[damaged.length - 100_000] ^= 1;
      return new Blob([damaged]);
    },
    drained: async ({ stream }) => {
      for await (const _ of stream);
    },
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  });
}
