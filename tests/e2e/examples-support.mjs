import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';
import { after, before } from 'node:test';
import { promisify } from 'node:util';
import { launch } from '../../scripts/lib/browser.mjs';
import { root } from '../../scripts/lib/paths.mjs';
import { serve } from '../../scripts/lib/server.mjs';
import { vectors } from './support.mjs';

const execute = promisify(execFile);

/** A folder within the workspace, so that the examples find the bundlers of the workspace. */
const scratch = join(root, 'target', 'examples');

/** The source that the examples share. */
const app = join(root, 'examples', 'app');

export const models = {
  '/models/base.safetensors': join(vectors, 'base-bf16.safetensors'),
  '/models/fine-tune.bitx': join(vectors, 'sft-bf16.v2.bitx'),
};

/** Packs the package as for publication, and makes copies of the examples with it installed. */
export function examples({ browser = true } = {}) {
  const env = {};
  mkdirSync(scratch, { recursive: true });
  env.folder = mkdtempSync(join(scratch, 'run-'));
  const tarball = pack(env.folder);
  before(async () => {
    await tarball;
    if (browser) env.browser = await launch();
  });
  after(async () => {
    await env.browser?.close();
    rmSync(env.folder, { recursive: true, force: true });
  });
  env.install = async (name) => install(env.folder, await tarball, name);
  return env;
}

async function pack(folder) {
  const packed = await command(join(root, 'js'), 'npm', 'pack', '--json', '--pack-destination', folder);
  return join(folder, JSON.parse(packed)[0].filename);
}

/**
 * Copies an example and installs the package in it, without the network and without npm's cache.
 */
async function install(folder, tarball, name) {
  const copy = mkdtempSync(join(folder, `${name}-`));
  cpSync(join(root, 'examples', name), copy, { recursive: true });
  cpSync(app, join(folder, 'app'), { recursive: true });
  forgetBundlers(join(copy, 'package.json'));
  const quick = ['--offline', '--no-save', '--no-package-lock', '--no-audit', '--no-fund'];
  await command(copy, 'npm', 'install', ...quick, tarball);
  return copy;
}

/**
 * Removes the development dependencies: npm would ask the registry about them even if it does not
 * install them.
 */
function forgetBundlers(manifest) {
  const { devDependencies, ...rest } = JSON.parse(readFileSync(manifest, 'utf8'));
  writeFileSync(manifest, JSON.stringify(rest));
}

/** Runs a command; resolves to its output. */
export async function command(cwd, file, ...args) {
  const PATH = [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
  const { stdout } = await execute(file, args, { cwd, env: { ...process.env, PATH } });
  return stdout;
}

/** Returns every file below a folder, as a sorted list of relative paths. */
export function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** Serves a folder beside the models and resolves to its address. */
export async function host(t, folder, { isolated, mounts = {} }) {
  const { server, address } = await serve({
    mounts: { '/': folder, '/app/': app, ...models, ...mounts },
    isolated,
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return address;
}

/**
 * Opens a page; resolves to the text that it shows at the end. Failed requests and errors fail the
 * test.
 */
export async function visit(t, { browser }, address) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  const failures = [];
  page.on('pageerror', (error) => failures.push(error));
  context.on('response', (response) => {
    const { pathname } = new URL(response.url());
    if (response.status() >= 400 && pathname !== '/favicon.ico') {
      failures.push(new Error(`${response.url()}: ${response.status()}`));
    }
  });
  await page.goto(address);
  const done = page.locator('output', { hasText: 'sha256' }).textContent({ timeout: 30_000 });
  const text = await done.catch((error) => {
    throw new AggregateError([...failures, error], 'the page did not restore the model');
  });
  if (failures.length > 0) throw new AggregateError(failures, 'the page had failures');
  return text;
}
