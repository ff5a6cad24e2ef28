import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addModel, commandLine, sampleModels, serveStore } from './hub.mjs';
import { root } from './paths.mjs';

const folder = join(root, 'target', 'demo-hub');
const store = join(folder, 'store');

/**
 * Serves the sample models and the uploaded models for the demo. Everyone on this machine may read;
 * the page that is served with it gets a token to publish under `mine/`.
 */
export async function serveDemoHub() {
  // Imported only here, since a fresh clone gets its packages from the set-up that runs before.
  const { blake3 } = await import('hash-wasm');
  const bitx = await commandLine();
  await fillStore(bitx);
  const token = randomBytes(16).toString('hex');
  const tokens = join(folder, 'tokens.json');
  const page = { name: 'demo', blake3: await blake3(token), read: ['*'], write: ['mine/*'] };
  writeFileSync(tokens, JSON.stringify([{ name: 'everybody', read: ['*'] }, page]), { mode: 0o600 });
  const hub = await serveStore(bitx, store, { tokens });
  return { ...hub, token };
}

/** Makes the store, unless it exists. */
async function fillStore(bitx) {
  const filled = join(folder, 'filled');
  if (existsSync(filled)) return;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const models = await sampleModels(bitx, join(folder, 'models'));
  for (const [name, path] of Object.entries(models)) await addModel(bitx, store, `minilm/${name}`, path);
  writeFileSync(filled, '');
}

/** Answers `hub.json`, from which the page learns of a hub beside it, when the hub is there. */
export function hubMount(hub) {
  return async (_, response) => {
    const { address, token } = await hub;
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ url: address, token }));
  };
}
