import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './paths.mjs';
import { run } from './run.mjs';
import { STABLE } from './toolchain.mjs';

/** The longest time until a server answers, in milliseconds. */
const START_LIMIT_MS = 20_000;
const mini = join(root, 'tests', 'vectors', 'mini');

/**
 * Builds the command line, optimised like that of the tests, unless another build is named, and
 * returns its path.
 */
export async function commandLine() {
  if (process.env.BITX_BINARY) return process.env.BITX_BINARY;
  await run('cargo', ['build', '-p', 'bitx-cli'], { env: { RUSTUP_TOOLCHAIN: STABLE } });
  return join(root, 'target', 'debug', 'bitx');
}

/**
 * Writes the committed sample models into `folder`, each as a folder of files, and returns their
 * paths.
 */
export async function sampleModels(bitx, folder) {
  const base = join(mini, 'base-bf16.safetensors');
  const models = {
    base: undefined,
    sft: 'sft-bf16.v2.bitx',
    rl: 'rl-bf16.v1.bitx',
    lora: 'lora-bf16.v1.bitx',
  };
  const paths = {};
  for (const [name, delta] of Object.entries(models)) {
    paths[name] = join(folder, name);
    const file = join(paths[name], 'model.safetensors');
    mkdirSync(paths[name], { recursive: true });
    writeFileSync(join(paths[name], 'config.json'), `${JSON.stringify({ model_type: 'bert', name })}\n`);
    if (delta) await run(bitx, ['--quiet', 'decompress', '--force', base, join(mini, delta), '-o', file]);
    else copyFileSync(base, file);
  }
  return paths;
}

/** Adds a model, which is a folder, to the store in another folder. */
export async function addModel(bitx, store, name, folder) {
  mkdirSync(store, { recursive: true });
  await run(bitx, ['store', '--root', pathToFileURL(store).href, 'add', '--name', name, folder]);
}

/**
 * Serves the store in a folder on 127.0.0.1; resolves to its address and a function that ends it.
 */
export async function serveStore(bitx, store, { tokens, port } = {}) {
  const listen = `127.0.0.1:${port ?? (await freePort())}`;
  const args = ['serve', '--root', pathToFileURL(store).href, '--listen', listen];
  const server = spawn(bitx, [...args, ...(tokens ? ['--tokens', tokens] : [])], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  server.stderr.on('data', (text) => {
    said = (said + text).slice(-4000);
  });
  process.once('exit', () => server.kill());
  const stop = async () => {
    if (server.exitCode !== null) return;
    server.kill('SIGTERM');
    await once(server, 'exit');
  };
  const address = `http://${listen}/`;
  for (const begun = Date.now(); !(await fetch(`${address}healthz`).catch(() => undefined))?.ok; ) {
    if (server.exitCode !== null || Date.now() - begun > START_LIMIT_MS) {
      throw new Error(`bitx serve did not start: ${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { address, stop };
}

/** Returns a free port. */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
