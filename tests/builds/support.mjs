import { execFile, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../scripts/lib/paths.mjs';
import { models } from '../e2e/examples-support.mjs';

const execute = promisify(execFile);

/** The folder in which the cells are built. Installed bundlers stay there for the next run. */
const builds = join(root, 'target', 'builds');

/** Packs the package as for publication. */
export async function pack() {
  mkdirSync(builds, { recursive: true });
  const { stdout } = await execute('npm', ['pack', '--json', '--pack-destination', builds], {
    cwd: join(root, 'js'),
  });
  cpSync(join(root, 'examples', 'app'), join(builds, 'app'), { recursive: true });
  return join(builds, JSON.parse(stdout)[0].filename);
}

/**
 * Copies an example, and installs exact versions of its bundler and the package in it. Resolves to
 * the folder.
 */
export async function prepare(name, { folder, packages }, tarball) {
  const place = join(builds, name.replace(/\W+/g, '-'));
  await install(place, packages);
  cpSync(join(root, 'examples', folder), place, { recursive: true });
  for (const made of ['dist', '.next', '.parcel-cache', 'node_modules/.vite']) {
    rmSync(join(place, made), { recursive: true, force: true });
  }
  // Parcel reads its settings from the folder with a lock file.
  if (folder === 'parcel') writeFileSync(join(place, 'yarn.lock'), '');
  const installed = join(place, 'node_modules', 'bitx-wasm');
  rmSync(installed, { recursive: true, force: true });
  mkdirSync(installed, { recursive: true });
  await execute('tar', ['-xf', tarball, '-C', installed, '--strip-components=1']);
  for (const [path, file] of Object.entries(models)) cpSync(file, join(place, 'public', path));
  return place;
}

/** Installs packages into a folder of their own, unless they are there. */
async function install(place, packages) {
  const stamp = join(place, 'installed.json');
  const wanted = JSON.stringify(packages);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'package.json'), '{ "private": true, "type": "module" }');
  const names = Object.entries(packages).map(([name, version]) => `${name}@${version}`);
  const quick = ['--prefer-offline', '--no-save', '--no-package-lock', '--no-audit', '--no-fund'];
  await execute('npm', ['install', ...quick, ...names], { cwd: place });
  writeFileSync(stamp, wanted);
}

function environmentOf(place) {
  const PATH = [join(place, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
  const quiet = { NEXT_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', CI: '1' };
  return { cwd: place, env: { ...process.env, ...quiet, PATH } };
}

/** Runs a command in a cell; resolves to its output. */
export async function run(place, [file, ...args]) {
  const { stdout } = await execute(file, args, { ...environmentOf(place), maxBuffer: 1 << 26 });
  return stdout;
}

/** Starts a server in a cell, which ends with the test; resolves to its address. */
export async function startServer(t, place, command) {
  const port = await freePort();
  const [file, ...args] = command.map((word) => (word === 'PORT' ? String(port) : word));
  const server = spawn(file, args, { ...environmentOf(place), detached: true });
  let printed = '';
  for (const stream of [server.stdout, server.stderr]) {
    stream.on('data', (text) => {
      printed += text;
    });
  }
  t.after(() => {
    // A server may have started processes of its own, which are in its group.
    if (server.exitCode === null) process.kill(-server.pid, 'SIGKILL');
  });
  const address = `http://127.0.0.1:${port}/`;
  for (let tries = 0; tries < 600 && server.exitCode === null; tries++) {
    if (await fetch(address).then(({ ok }) => ok, () => false)) return address;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${command.join(' ')} did not answer:\n${printed}`);
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
