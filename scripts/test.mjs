/** Sets everything up and passes every test. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { reference } from './bench/peers.mjs';
import { build } from './build.mjs';
import { root } from './lib/paths.mjs';
import { run, which } from './lib/run.mjs';
import { checkSizes } from './lib/sizes.mjs';
import { cargoEnv, STABLE, WASM_BUILDS, WASM_TARGET, WASM_TESTS } from './lib/toolchain.mjs';
import { setup } from './setup.mjs';

const stable = { env: { RUSTUP_TOOLCHAIN: STABLE } };
const strict = ['--', '-D', 'warnings'];

const STEPS = [
  ['rustfmt', () => run('cargo', ['fmt', '--all', '--check'], stable)],
  ['clippy', () => run('cargo', ['clippy', '--workspace', '--all-targets', ...strict], stable)],
  ...Object.entries(WASM_BUILDS).map(([name, build]) => [`clippy, wasm ${name}`, () => clippyWasm(build)]),
  ['cargo test', cargoTest],
  ['build', build],
  ...Object.entries(WASM_TESTS).map(([name, build]) => [`wasm-pack test, ${name}`, () => wasmPack(build)]),
  ['biome', () => run('biome', ['check', '--error-on-warnings'])],
  ['types', () => run('tsc', ['-p', '.'])],
  ['sizes', checkSizes],
  ['API reference', () => run('npm', ['run', 'docs'])],
  ['package', () => nodeTest(...testsOf('package'))],
  ['types of the package', attw],
  [
    'browser',
    () =>
      nodeTest(
        ...['api', 'start', 'pool', 'http', 'streaming', 'dispose', 'demo'].map(
          (name) => `tests/e2e/${name}.test.mjs`,
        ),
      ),
  ],
  ['cache', () => nodeTest(...testsOf('cache'))],
  ['hub', () => nodeTest(...testsOf('hub'))],
  ['runtimes', () => nodeTest(...testsOf('runtimes'))],
  ['examples', () => nodeTest(...testsOf('examples'))],
];

await setup({ tests: true });
const failed = [];
for (const [name, step] of STEPS) {
  console.log(`\n== ${name}`);
  const begun = performance.now();
  try {
    await step();
    console.log(`== ${name}: passed in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  } catch (error) {
    failed.push(name);
    console.error(`== ${name}: FAILED: ${error.message}`);
  }
}
if (failed.length > 0) console.error(`\nFailed: ${failed.join('; ')}`);
console.log(`\n${STEPS.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;

/** Some tests compare with the command line that BITXv001 comes from. */
async function cargoTest() {
  await reference.prepare();
  await run('cargo', ['test', '--workspace', '--no-fail-fast'], {
    env: { ...stable.env, BITX_REFERENCE: reference.binary },
  });
}

function clippyWasm(build) {
  const features = ['--no-default-features', '--features', build.features.join(',')];
  const args = ['clippy', '--package', 'bitx-wasm', '--target', WASM_TARGET, ...features, ...build.cargoArgs];
  return run('cargo', [...args, ...strict], { env: cargoEnv(build) });
}

function wasmPack(build) {
  const features = ['--no-default-features', '--features', build.testFeatures.join(',')];
  const browser = ['--headless', '--chrome', '--chromedriver', which('chromedriver')];
  const cargo = ['--test', 'vectors', ...features, ...build.cargoArgs];
  return run('wasm-pack', ['test', ...browser, 'wasm', ...cargo], {
    env: { ...cargoEnv(build), WASM_BINDGEN_TEST_TIMEOUT: '120' },
  });
}

/** What TypeScript makes of the exports. Those of workers and wasm files are addresses, which nobody imports. */
function attw() {
  const { exports } = JSON.parse(readFileSync(join(root, 'js', 'package.json'), 'utf8'));
  const addresses = Object.keys(exports).filter((entry) => /\.(js|wasm)$/.test(entry));
  const options = ['--profile', 'esm-only', '--no-definitely-typed', '--no-emoji', '--format', 'ascii'];
  return run('attw', ['js', '--pack', ...options, '--exclude-entrypoints', ...addresses]);
}

/** The files of tests whose names begin with a topic. */
function testsOf(topic) {
  const folder = 'tests/e2e';
  const files = readdirSync(join(root, folder)).filter((file) => /\.test\.mjs$/.test(file));
  return files.filter((file) => file.startsWith(topic)).map((file) => join(folder, file));
}

function nodeTest(...files) {
  return run('node', [
    '--test',
    '--test-reporter=spec',
    '--test-concurrency=1',
    '--test-timeout=900000',
    ...files,
  ]);
}
