import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageDist, root } from './paths.mjs';
import { run } from './run.mjs';
import { selfTestArchive } from './self-test-archive.mjs';
import { shortenGlue } from './short-imports.mjs';
import { INNER_PROPERTIES, slimGlue } from './slim-glue.mjs';
import { WASM_BUILDS } from './toolchain.mjs';

/** The build whose glue the worker imports. */
const SHARED_GLUE = 'compress-threads';

/** The glue asks for a helper script that starts threads; ours does without a second worker script. */
const threadPool = {
  name: 'thread-pool',
  setup(build) {
    const path = join(root, 'js', 'src', 'worker', 'threads.ts');
    build.onResolve({ filter: /workerHelpers\.js$/ }, () => ({ path }));
  },
};

/** Entry points import one another as their users do, so that all have the same classes. */
const ENTRIES = { '../index.js': './index.js', '../cache/index.js': './cache.js' };
const packageEntry = {
  name: 'package-entry',
  setup(build) {
    build.onResolve({ filter: /^\.\.\/(cache\/)?index\.js$/ }, ({ path }) => ({
      path: ENTRIES[path],
      external: true,
    }));
  },
};

/** Terser inlines and reorders what esbuild does not: a kilobyte of the worker. */
const SQUEEZE = {
  module: true,
  ecma: 2022,
  compress: { passes: 3, unsafe_arrows: true, pure_getters: true },
};

const squeeze = {
  name: 'squeeze',
  setup({ onEnd }) {
    onEnd(async ({ outputFiles }) => {
      const { minify } = await import('terser');
      for (const { path, text } of outputFiles) {
        const { code } = await minify(text, SQUEEZE);
        writeFileSync(path, code);
      }
    });
  },
};

const nodeScripts = {
  name: 'node-scripts',
  setup(build) {
    const path = join(root, 'js', 'src', 'runtimes', 'node', 'cache-peer.ts');
    build.onResolve({ filter: /^\.\/peer\.js$/ }, () => ({ path }));
    build.onResolve({ filter: /^(\.\.\/)+index\.js$/ }, () => ({ path: './node.js', external: true }));
    build.onResolve({ filter: /cache\/index\.js$/ }, () => ({ path: './node-cache.js', external: true }));
  },
};

/** In a service worker the cache is its two scripts in one place. */
const cacheScripts = {
  name: 'cache-scripts',
  setup(build) {
    build.onResolve({ filter: /^\.\/index\.js$/ }, () => ({ path: './cache.js', external: true }));
    build.onResolve({ filter: /\/worker\.js$/ }, () => ({ path: './cache-worker.js', external: true }));
  },
};

const common = {
  absWorkingDir: root,
  outdir: packageDist,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  mangleProps: INNER_PROPERTIES,
  legalComments: 'none',
  write: false,
  plugins: [threadPool, packageEntry, selfTestArchive, slimGlue, squeeze],
  logLevel: 'warning',
};

const BROWSER = {
  index: 'js/src/index.ts',
  worker: 'js/src/worker/worker.ts',
  cache: 'js/src/cache/index.ts',
  'cache-worker': 'js/src/cache/worker/worker.ts',
  hub: 'js/src/hub/index.ts',
  'hub-worker': 'js/src/hub/worker/worker.ts',
  transformers: 'js/src/runtimes/transformers.ts',
};

/** In Node the same entry gets stand-ins for what only browsers have; the worker script is the browser's. */
const NODE = {
  entryPoints: {
    node: 'js/src/index.ts',
    'node-worker': 'js/src/runtimes/node/worker.ts',
  },
  platform: 'node',
  inject: ['js/src/runtimes/node/globals.ts'],
  define: { 'Promise.withResolvers': 'withResolvers' },
};

/** In Node the cache has a folder; what starts its worker and what it returns is another file. */
const NODE_CACHE = {
  ...NODE,
  entryPoints: { 'node-cache': 'js/src/cache/index.ts', 'node-files': 'js/src/runtimes/node/files.ts' },
  plugins: [nodeScripts, squeeze],
};

const SERVICE_WORKER = {
  entryPoints: { 'service-worker': 'js/src/runtimes/service-worker/index.ts' },
  inject: ['js/src/runtimes/service-worker/globals.ts'],
};

const SERVICE_WORKER_CACHE = {
  entryPoints: { 'service-worker-cache': 'js/src/cache/service-worker.ts' },
  plugins: [cacheScripts, squeeze],
};

/** Bundles the package into `js/dist`, beside the wasm files. */
export async function buildPackage() {
  requireSharedGlue();
  const { build } = await import('esbuild');
  await build({ ...common, entryPoints: BROWSER });
  await build({ ...common, ...NODE });
  await build({ ...common, ...NODE_CACHE });
  await build({ ...common, ...SERVICE_WORKER });
  await build({ ...common, ...SERVICE_WORKER_CACHE });
  rmSync(join(packageDist, 'types'), { recursive: true, force: true });
  await run('tsc', ['-p', 'js']);
  copyLicences();
}

/** One glue script serves every build, which holds as long as it has the imports of each. */
function requireSharedGlue() {
  const glue = shortenGlue(readFileSync(join(root, 'js', 'generated', SHARED_GLUE, 'bitx_wasm.js'), 'utf8'));
  for (const { file } of Object.values(WASM_BUILDS)) {
    const wasm = new WebAssembly.Module(readFileSync(join(packageDist, file)));
    const missing = WebAssembly.Module.imports(wasm).filter(({ name }) => !glue.includes(`${name}:`));
    if (missing.length > 0) {
      throw new Error(
        `${file} needs more than the shared glue: ${missing.map(({ name }) => name).join(', ')}`,
      );
    }
  }
}

/** npm packs only what lies in the package's folder. What is bundled brings its own licence. */
function copyLicences() {
  const bundled = join(root, 'node_modules', 'hash-wasm', 'LICENSE');
  copyFileSync(bundled, join(root, 'js', 'LICENSE-hash-wasm'));
  for (const name of readdirSync(root).filter((file) => file.startsWith('LICENSE-'))) {
    copyFileSync(join(root, name), join(root, 'js', name));
  }
}
