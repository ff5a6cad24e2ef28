/** Installs everything that building and testing need, unless it is already there. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './lib/paths.mjs';
import { capture, run, which } from './lib/run.mjs';
import { FOREIGN_TARGETS, NIGHTLY, STABLE, WASM_TARGET } from './lib/toolchain.mjs';
import { installTool } from './lib/tools.mjs';

export const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome'];

/** Installs everything for building; `tests` adds what only the tests need. */
export async function setup({ tests }) {
  await setupRust(tests ? FOREIGN_TARGETS : []);
  await toolchain(NIGHTLY, tests ? ['rust-src', 'clippy'] : ['rust-src'], [WASM_TARGET]);
  await Promise.all([installTool('wasm-bindgen-cli'), setupJavaScript()]);
  if (!tests) return;
  await installTool('wasm-pack');
  await browser();
}

/**
 * Installs everything that the native crates and their tests need; `targets` are other systems to
 * check.
 */
export async function setupRust(targets = []) {
  requireRustup();
  await toolchain(STABLE, ['clippy', 'rustfmt'], [WASM_TARGET, ...targets]);
}

function requireRustup() {
  if (!which('rustup')) throw new Error('rustup is missing; see https://rustup.rs to install it');
}

async function toolchain(name, components, targets) {
  const installed = (what) => capture('rustup', [what, 'list', '--installed', '--toolchain', name]) ?? '';
  const [presentComponents, presentTargets] = [installed('component'), installed('target')];
  const complete =
    components.every((component) => presentComponents.includes(component)) &&
    targets.every((target) => presentTargets.includes(target));
  if (complete) return;
  await run('rustup', [
    ...['toolchain', 'install', name, '--profile', 'minimal', '--no-self-update'],
    ...targets.flatMap((target) => ['--target', target]),
    ...components.flatMap((component) => ['--component', component]),
  ]);
}

/**
 * Installs the npm packages, which the TypeScript modules and their tests need. npm keeps a copy of
 * the lock file of the installed packages, which shows if they are the wanted ones.
 */
export async function setupJavaScript() {
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
