import { copyFileSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { packageDist, root } from './paths.mjs';
import { run } from './run.mjs';

/** The glue asks for a helper script that starts threads; ours does without a second worker script. */
const threadPool = {
  name: 'thread-pool',
  setup(build) {
    const path = join(root, 'js', 'src', 'worker', 'pool.ts');
    build.onResolve({ filter: /workerHelpers\.js$/ }, () => ({ path }));
  },
};

/** Bundles the package into `js/dist`, beside the wasm files. */
export async function buildPackage() {
  requireSharedGlue();
  const { build } = await import('esbuild');
  await build({
    entryPoints: { index: 'js/src/index.ts', worker: 'js/src/worker/worker.ts' },
    absWorkingDir: root,
    outdir: packageDist,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    plugins: [threadPool],
    logLevel: 'warning',
  });
  rmSync(join(packageDist, 'types'), { recursive: true, force: true });
  await run('tsc', ['-p', 'js']);
  copyLicences();
}

/** One glue script serves both builds, which holds as long as it has every import of the single-threaded one. */
function requireSharedGlue() {
  const glue = readFileSync(join(root, 'js', 'generated', 'threads', 'bitx_wasm.js'), 'utf8');
  const wasm = new WebAssembly.Module(readFileSync(join(packageDist, 'bitx.wasm')));
  const missing = WebAssembly.Module.imports(wasm).filter(({ name }) => !glue.includes(name));
  if (missing.length > 0) {
    throw new Error(`the threaded glue lacks ${missing.map(({ name }) => name).join(', ')}`);
  }
}

/** npm packs only what lies in the package's folder. */
function copyLicences() {
  for (const name of readdirSync(root).filter((file) => file.startsWith('LICENSE-'))) {
    copyFileSync(join(root, name), join(root, 'js', name));
  }
}
