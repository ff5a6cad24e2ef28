/** Builds everything: both wasm builds, the npm package and the demo. */
import { pathToFileURL } from 'node:url';
import { buildDemo } from './lib/build-demo.mjs';
import { buildPackage } from './lib/build-package.mjs';
import { buildWasm } from './lib/build-wasm.mjs';
import { WASM_BUILDS } from './lib/toolchain.mjs';

export async function build() {
  for (const name of Object.keys(WASM_BUILDS)) await buildWasm(name);
  await buildPackage();
  await buildDemo();
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await build();
