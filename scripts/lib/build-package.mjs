import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isAbsolute, join, sep } from 'node:path';
import { packageDist, root } from './paths.mjs';
import { run } from './run.mjs';
import { selfTestArchive } from './self-test-archive.mjs';
import { WASM_BUILDS } from './toolchain.mjs';

/** The build whose glue the worker imports. */
const SHARED_GLUE = 'compress-threads';

/**
 * Replaces the helper script that the glue uses to start threads: the package does without a second
 * worker script.
 */
const threadPool = {
  name: 'thread-pool',
  setup(build) {
    const path = join(root, 'js', 'src', 'codec', 'worker', 'threads.ts');
    build.onResolve({ filter: /workerHelpers\.js$/ }, () => ({ path }));
  },
};

/** The scripts of the package for browsers, by name. The first has the shared modules. */
const BROWSER = {
  common: 'js/src/common/index.ts',
  index: 'js/src/index.ts',
  worker: 'js/src/codec/worker/worker.ts',
  cache: 'js/src/cache/index.ts',
  'cache-worker': 'js/src/cache/worker/worker.ts',
  hub: 'js/src/hub/index.ts',
  'hub-worker': 'js/src/hub/worker/worker.ts',
  folder: 'js/src/folder/index.ts',
  transformers: 'js/src/runtimes/transformers.ts',
  'service-worker': 'js/src/runtimes/service-worker/index.ts',
  'service-worker-cache': 'js/src/cache/service-worker.ts',
};

/**
 * The scripts for Node, which starts the browsers' worker scripts in its threads. The first has the
 * shared modules.
 */
const NODE = {
  'node-common': 'js/src/common/page.ts',
  node: 'js/src/runtimes/node/index.ts',
  'node-cache': 'js/src/runtimes/node/cache.ts',
  'node-files': 'js/src/runtimes/node/files.ts',
  'node-folder': 'js/src/folder/index.ts',
  'node-worker': 'js/src/runtimes/node/worker.ts',
};

const COMMON = join(root, 'js', 'src', 'common');

/**
 * Keeps scripts that import one another separate, so that shared code exists once, under a name
 * that users can copy. esbuild's own `splitting` makes a chunk with a digest in its name for every
 * set of scripts that share code.
 */
function sharedScripts(scripts) {
  const addresses = new Map(
    Object.entries(scripts).map(([name, source]) => [join(root, source), `./${name}.js`]),
  );
  const [[first, source]] = Object.entries(scripts);
  const shared = `./${first}.js`;
  addresses.set(join(COMMON, 'index.ts'), shared);
  // The scripts for Node import the package as those for browsers do.
  if (scripts.node) addresses.set(join(root, 'js/src/index.ts'), './node.js');
  return {
    name: 'shared-scripts',
    setup({ onResolve, onLoad, esbuild }) {
      const load = (namespace, inOrder) =>
        onLoad({ filter: /.*/, namespace }, async ({ path }) => ({
          contents: `export { ${await shortNames(esbuild, source, inOrder)} } from '${path}';`,
          resolveDir: root,
        }));
      load('exports', (name, short) => `${name} as ${short}`);
      load('imports', (name, short) => `${short} as ${name}`);
      onResolve({ filter: /\.[jt]s$/ }, ({ path, resolveDir, importer, namespace, kind }) => {
        if (kind === 'entry-point') {
          return path === `./${source}` ? { path, namespace: 'exports' } : undefined;
        }
        if (namespace === 'imports') return { path, external: true };
        if (namespace === 'exports') return { path: join(root, path) };
        const module = join(resolveDir, path.replace(/\.js$/, '.ts'));
        const address = addresses.get(module);
        if (address === shared) return { path: address, namespace: 'imports', sideEffects: false };
        if (address) return { path: address, external: true };
        if (!path.startsWith('.') || !isIn(COMMON, module) || isIn(COMMON, importer)) return undefined;
        return { errors: [{ text: `${path} would be bundled twice: import it from common/index.js` }] };
      });
    },
  };
}

/** Joins the names that a module exports, each with a short name for it. */
async function shortNames(esbuild, source, join) {
  const { metafile } = await esbuild.build({
    ...{ absWorkingDir: root, entryPoints: [source], bundle: true, write: false, metafile: true },
    ...{ format: 'esm', platform: 'node' },
  });
  const [{ exports }] = Object.values(metafile.outputs);
  return exports.map((name, index) => join(name, shortName(index))).join(', ');
}

/** Returns a name of one letter for each of the first 52 indexes. */
function shortName(index) {
  const letter = String.fromCharCode(97 + (index % 26));
  return index < 26 ? letter : letter.toUpperCase();
}

function isIn(folder, file) {
  return file.startsWith(folder + sep);
}

/**
 * In Node, other modules start the cache's worker and convert its files, find the addresses of
 * inputs, and list and write folders.
 */
const nodeModules = {
  name: 'node-modules',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/peer\.js$/ }, () => ({
      path: join(root, 'js/src/runtimes/node/cache-peer.ts'),
    }));
    onResolve({ filter: /^\.\/address\.js$/ }, () => ({ path: join(COMMON, 'node-address.ts') }));
    onResolve({ filter: /^\.\/disk\.js$/ }, () => ({ path: join(root, 'js/src/runtimes/node/disk.ts') }));
  },
};

const common = {
  absWorkingDir: root,
  outdir: packageDist,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  logLevel: 'warning',
};

/** The build for Node: the same sources, with stand-ins for the interfaces of browsers. */
const node = {
  ...common,
  entryPoints: NODE,
  plugins: [nodeModules, sharedScripts(NODE)],
  platform: 'node',
  inject: ['js/src/runtimes/node/globals.ts'],
  define: { 'Promise.withResolvers': 'withResolvers' },
};

const browser = {
  ...common,
  entryPoints: BROWSER,
  plugins: [threadPool, sharedScripts(BROWSER), selfTestArchive],
};

/** Bundles the package into `js/dist`, beside the wasm files. */
export async function buildPackage() {
  requireSharedGlue();
  const { build } = await import('esbuild');
  await build(browser);
  await build(node);
  await squeeze([...Object.keys(BROWSER), ...Object.keys(NODE)]);
  rmSync(join(packageDist, 'types'), { recursive: true, force: true });
  await run('tsc', ['-p', 'js']);
  copyLicences();
}

/**
 * Makes the scripts about 4 % smaller than esbuild alone does: rolldown joins the imports of one
 * script, and terser rewrites more.
 */
async function squeeze(scripts) {
  const { minify } = await import('terser');
  const { rolldown } = await import('rolldown');
  // The glue warns of a deprecated call that the package does not make.
  const compress = {
    passes: 3,
    unsafe: true,
    unsafe_arrows: true,
    pure_getters: true,
    pure_funcs: ['console.warn'],
  };
  for (const name of scripts) {
    const path = join(packageDist, `${name}.js`);
    const bundle = await rolldown({ input: path, external: (id) => !isAbsolute(id) });
    const { output } = await bundle.generate({ minify: true });
    const { code } = await minify(output[0].code, { module: true, ecma: 2022, compress });
    writeFileSync(path, code);
  }
}

/** Checks that the one glue script has the imports of every build, since it serves all of them. */
function requireSharedGlue() {
  const glue = readFileSync(join(root, 'js', 'generated', SHARED_GLUE, 'bitx_wasm.js'), 'utf8');
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

/**
 * Copies the licences into the package's folder, since npm packs only files there. Bundled code
 * brings its own licence.
 */
function copyLicences() {
  const bundled = join(root, 'node_modules', 'hash-wasm', 'LICENSE');
  copyFileSync(bundled, join(root, 'js', 'LICENSE-hash-wasm'));
  for (const name of readdirSync(root).filter((file) => file.startsWith('LICENSE-'))) {
    copyFileSync(join(root, name), join(root, 'js', name));
  }
}
