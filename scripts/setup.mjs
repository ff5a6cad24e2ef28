/** Installs what building and testing need, and nothing that is already there. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './lib/paths.mjs';
import { capture, run, which } from './lib/run.mjs';
import { NIGHTLY, STABLE, WASM_BINDGEN, WASM_TARGET } from './lib/toolchain.mjs';

export const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome'];

/** `tests` adds what only the tests need. */
export async function setup({ tests }) {
  requireRustup();
  await toolchain(STABLE, ['clippy', 'rustfmt']);
  await toolchain(NIGHTLY, tests ? ['rust-src', 'clippy'] : ['rust-src']);
  await wasmBindgen();
  await nodeModules();
  if (!tests) return;
  if (!which('wasm-pack')) await run('cargo', [`+${STABLE}`, 'install', 'wasm-pack']);
  await browser();
}

function requireRustup() {
  if (!which('rustup')) throw new Error('rustup is missing; https://rustup.rs tells how to install it');
}

async function toolchain(name, components) {
  const installed = (what) => capture('rustup', [what, 'list', '--installed', '--toolchain', name]) ?? '';
  const present = installed('component');
  const complete =
    components.every((component) => present.includes(component)) && installed('target').includes(WASM_TARGET);
  if (complete) return;
  const extras = components.flatMap((component) => ['--component', component]);
  await run('rustup', [
    ...['toolchain', 'install', name, '--profile', 'minimal', '--no-self-update'],
    ...['--target', WASM_TARGET, ...extras],
  ]);
}

/** The tool and the library speak a private protocol, so their versions must be the same. */
async function wasmBindgen() {
  if (capture('wasm-bindgen', ['--version'])?.endsWith(` ${WASM_BINDGEN}`)) return;
  await run('cargo', [`+${STABLE}`, 'install', 'wasm-bindgen-cli', '--version', WASM_BINDGEN, '--force']);
}

/** npm keeps a copy of the lock file of what it has installed. */
async function nodeModules() {
  const wanted = lockedVersions(join(root, 'package-lock.json'));
  const installed = lockedVersions(join(root, 'node_modules', '.package-lock.json'));
  const stale = wanted.some(([path, version, optional]) => {
    const found = installed.find(([other]) => other === path);
    return found ? found[1] !== version : !optional;
  });
  if (stale) await run('npm', ['ci', '--no-audit', '--no-fund']);
}

function lockedVersions(file) {
  if (!existsSync(file)) return [];
  const { packages } = JSON.parse(readFileSync(file, 'utf8'));
  return Object.entries(packages)
    .filter(([path]) => path.startsWith('node_modules/'))
    .map(([path, { version, optional }]) => [path, version, optional === true]);
}

async function browser() {
  if (which(...CHROMIUM) && which('chromedriver')) return;
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const apt = (...args) => {
    const [command, ...rest] = [...sudo, 'apt-get', ...args];
    return run(command, rest, { env: { DEBIAN_FRONTEND: 'noninteractive' } });
  };
  try {
    await apt('update');
    await apt('install', '-y', '--no-install-recommends', 'chromium', 'chromium-driver');
  } catch (cause) {
    throw new Error('the tests need Chromium and chromedriver on the PATH; please install them', { cause });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await setup({ tests: true });
