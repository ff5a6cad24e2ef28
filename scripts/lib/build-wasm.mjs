import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nameByPlace } from './order-wasm.mjs';
import { packageDist, root } from './paths.mjs';
import { pruneWasm } from './prune-wasm.mjs';
import { run } from './run.mjs';
import { cargoEnv, WASM_BINDGEN, WASM_BUILDS, WASM_TARGET } from './toolchain.mjs';

/** The modules that change the compiler's output. */
const CHANGES = ['./prune-wasm.mjs', './order-wasm.mjs'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
);

/** The features that every browser with SIMD has, and that the compiler may have used. */
const FEATURES = [
  ...['simd', 'bulk-memory', 'nontrapping-float-to-int', 'sign-ext', 'mutable-globals'].map(enable),
  ...['reference-types', 'multivalue'].map(enable),
];
/**
 * The first run optimises. The first kilobyte of the memory is the end of a stack, which only a
 * call that is about to overflow it reaches.
 */
const WASM_OPT_ARGS = [...FEATURES, '-O3', '--low-memory-unused', '--strip-debug', '--strip-producers'];
/** The second run, which brings the functions into the order of their names, inlines none. */
const ORDER_ARGS = [
  ...FEATURES,
  ...['-Os', '--low-memory-unused'],
  ...['--one-caller-inline-max-function-size', '0', '--flexible-inline-max-function-size', '0'],
  ...['--reorder-functions-by-name', '--strip-debug'],
];

/**
 * The sizes up to which functions are inlined, by the file's name; without one, functions with one
 * caller are all inlined, and others up to 20. A lower limit makes a file smaller. Restoring is as
 * fast with it. Compressing is slower, which is acceptable on one thread.
 */
const INLINING = {
  restore: ['--one-caller-inline-max-function-size', '20'],
  'restore-threads': ['--one-caller-inline-max-function-size', '20'],
  compress: ['--flexible-inline-max-function-size', '6'],
};

/** Compiles one build of the bindings, makes its JavaScript glue and shrinks the result. */
export async function buildWasm(name) {
  const build = WASM_BUILDS[name];
  await run('cargo', cargoArgs(build), { env: cargoEnv(build) });
  const compiled = join(root, build.targetDir, WASM_TARGET, 'wasm-release', 'bitx_wasm.wasm');
  const glue = join(root, 'js', 'generated', name);
  const result = join(packageDist, build.file);
  const stamp = fingerprint(compiled, build);
  const stampFile = join(glue, 'stamp');
  if (existsSync(result) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;

  mkdirSync(packageDist, { recursive: true });
  await run('wasm-bindgen', [
    ...['--target', 'web', '--omit-default-module-path', '--out-dir', glue, compiled],
  ]);
  const bound = join(glue, 'bitx_wasm_bg.wasm');
  await pruneWasm(bound, build);
  await run('wasm-opt', [
    ...WASM_OPT_ARGS,
    ...(INLINING[name] ?? []),
    ...build.wasmOptArgs,
    bound,
    '-o',
    result,
  ]);
  nameByPlace(result);
  await run('wasm-opt', [...ORDER_ARGS, ...build.wasmOptArgs, result, '-o', result]);
  writeFileSync(stampFile, stamp);
}

/**
 * Returns the arguments that make cargo compile a build. The library for tests, which Cargo.toml
 * names as well, is left out: rustc optimises no crate together with others if it makes that.
 */
function cargoArgs({ features, cargoArgs }) {
  return [
    ...['rustc', '--quiet', '--package', 'bitx-wasm', '--lib', '--crate-type', 'cdylib'],
    ...['--profile', 'wasm-release', '--target', WASM_TARGET],
    ...['--no-default-features', '--features', features.join(','), ...cargoArgs],
  ];
}

/**
 * Returns the digest of everything that the steps after the compiler depend on. These steps are
 * slow, and are skipped while it is unchanged.
 */
function fingerprint(compiled, build) {
  const hash = createHash('sha256').update(readFileSync(compiled));
  for (const module of CHANGES) hash.update(readFileSync(module));
  const settings = [WASM_BINDGEN, WASM_OPT_ARGS, ORDER_ARGS, INLINING, build];
  return hash.update(JSON.stringify(settings)).digest('hex');
}

function enable(feature) {
  return `--enable-${feature}`;
}
