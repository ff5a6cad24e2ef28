/** The steps that check the bindings as WebAssembly: clippy, and the tests in headless Chromium. */
import { run, which } from '../lib/run.mjs';
import { cargoEnv, WASM_LINTS, WASM_TARGET, WASM_TESTS } from '../lib/toolchain.mjs';
import { tool } from '../lib/tools.mjs';
import { STRICT } from './rust.mjs';

export const CLIPPY_WASM_STEPS = Object.entries(WASM_LINTS).map(([name, build]) => ({
  name: `clippy, wasm ${name}`,
  run: () => clippyWasm(build),
}));

export const WASM_STEPS = Object.entries(WASM_TESTS).map(([name, build]) => ({
  name: `wasm-pack test, ${name}`,
  run: () => wasmPack(build),
}));

/** Runs the tests of the bindings in every build; `filters` go to the test harness. */
export async function wasmTest(filters) {
  for (const build of Object.values(WASM_TESTS)) await wasmPack(build, filters);
}

function clippyWasm(build) {
  const features = ['--no-default-features', '--features', build.features.join(',')];
  const args = ['clippy', '--package', 'bitx-wasm', '--target', WASM_TARGET, ...features, ...build.cargoArgs];
  return run('cargo', [...args, ...STRICT], { env: cargoEnv(build) });
}

function wasmPack(build, filters = []) {
  const features = ['--no-default-features', '--features', build.testFeatures.join(',')];
  // The test runner belongs to the command line of wasm-bindgen, which set-up has installed.
  const mode = ['--mode', 'no-install'];
  const browser = ['--headless', '--chrome', '--chromedriver', which('chromedriver')];
  const tests = ['vectors', 'costs', 'allocations'].flatMap((name) => ['--test', name]);
  const cargo = [...tests, ...features, ...build.cargoArgs];
  return run(tool('wasm-pack'), ['test', ...mode, ...browser, 'wasm', ...cargo, '--', ...filters], {
    env: { ...cargoEnv(build), WASM_BINDGEN_TEST_TIMEOUT: '120' },
  });
}
