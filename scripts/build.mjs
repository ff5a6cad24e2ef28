/** Builds everything: the wasm files, the npm package and the demo. */
import { pathToFileURL } from 'node:url';
import { buildDemo } from './lib/build-demo.mjs';
import { buildPackage } from './lib/build-package.mjs';
import { buildWasm } from './lib/build-wasm.mjs';
import { WASM_BUILDS } from './lib/toolchain.mjs';

/**
 * The number of wasm files that are compiled at the same time. The last and longest phase of a
 * build runs on one core.
 */
const AT_ONCE = 2;

export async function build() {
  const names = Object.keys(WASM_BUILDS);
  const lane = async () => {
    for (let name = names.shift(); name; name = names.shift()) {
      await timed(WASM_BUILDS[name].file, () => buildWasm(name));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  await timed('the package', buildPackage);
  await timed('the demo', buildDemo);
}

/** Runs a part of the build and says when it began and how long it took. */
async function timed(what, part) {
  console.log(`Building ${what}`);
  const begun = performance.now();
  await part();
  console.log(`Built ${what} in ${Math.ceil((performance.now() - begun) / 1000)} s`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await build();
