/**
 * Runs the tests of one part, or those that match a filter: `npm run test:rust`, `test:js`,
 * `test:wasm`, `test:e2e` and `test:builds`, each with `-- FILTER`.
 */
import { build } from './build.mjs';
import { setup, setupJavaScript, setupRust } from './setup.mjs';
import { endToEnd, testBuilds } from './test/end-to-end.mjs';
import { unitTests } from './test/javascript.mjs';
import { cargoTest } from './test/rust.mjs';
import { wasmTest } from './test/wasm.mjs';

const PARTS = {
  async rust(args) {
    await setupRust();
    await cargoTest(args);
  },
  async js(filters) {
    await setupJavaScript();
    await unitTests(filters);
  },
  async wasm(filters) {
    await setup({ tests: true });
    await wasmTest(filters);
  },
  async builds(words) {
    await setup({ tests: true });
    await build();
    await testBuilds(words);
  },
  async e2e(words) {
    await setup({ tests: true });
    await build();
    await endToEnd(words);
  },
};

const [part, ...filters] = process.argv.slice(2);
await PARTS[part](filters);
