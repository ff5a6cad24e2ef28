import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cargoHome, root, rustupHome } from './paths.mjs';

/** The stable toolchain is pinned where rustup looks for it. */
export const STABLE = /channel\s*=\s*"([^"]+)"/.exec(
  readFileSync(join(root, 'rust-toolchain.toml'), 'utf8'),
)[1];
/** Only nightly can build the standard library: with atomics for threads, and small for the package. */
export const NIGHTLY = 'nightly-2026-05-20';
export const WASM_BINDGEN = '0.2.130';
export const WASM_TARGET = 'wasm32-unknown-unknown';
/** Systems that the native crates are written for, besides the one that tests run on. */
export const FOREIGN_TARGETS = ['x86_64-pc-windows-gnu', 'aarch64-apple-darwin'];

/** The shared glue makes the memory: what it starts with has to suit every build with threads. */
const INITIAL_MEMORY = 2 << 20;
const MAX_MEMORY = 1 << 30;

/** Exports that wasm-bindgen needs to give each thread its own stack and thread-local storage. */
const THREAD_EXPORTS = ['__wasm_init_tls', '__tls_size', '__tls_align', '__tls_base', '__heap_base'];
const THREAD_LINK_ARGS = [
  '--shared-memory',
  '--import-memory',
  `--max-memory=${MAX_MEMORY}`,
  ...THREAD_EXPORTS.map((name) => `--export=${name}`),
];

/** Keeps the builder's folders out of the panic messages in the wasm. */
const REMAP = Object.entries({ [cargoHome]: 'cargo', [rustupHome]: 'rustup', [root]: '.' }).map(
  ([from, to]) => `--remap-path-prefix=${from}=${to}`,
);

/** Names that tell generic functions apart by their parameters, which pruning needs; the nightly's default. */
const NAMES = '-C symbol-mangling-version=v0';

const TARGETS = {
  single: {
    toolchain: STABLE,
    features: [],
    testFeatures: [],
    cargoArgs: [],
    rustflags: ['-C target-feature=+simd128,+bulk-memory', NAMES, ...REMAP],
    targetDir: 'target/wasm-single',
    suffix: '',
    packagedRustflags: [],
    wasmOptArgs: [],
  },
  threads: {
    toolchain: NIGHTLY,
    features: ['threads'],
    // The test page has no bundler, which the thread pool's own helper script has to know.
    testFeatures: ['wasm-bindgen-rayon/no-bundler'],
    cargoArgs: ['-Z', 'build-std=std,panic_abort'],
    rustflags: [
      '-C target-feature=+atomics,+bulk-memory,+mutable-globals,+simd128',
      ...THREAD_LINK_ARGS.map((arg) => `-C link-arg=${arg}`),
      ...REMAP,
    ],
    targetDir: 'target/wasm-threads',
    suffix: '-threads',
    packagedRustflags: [`-C link-arg=--initial-memory=${INITIAL_MEMORY}`],
    wasmOptArgs: ['--enable-threads'],
  },
};

/**
 * What each file can do, and whether it is compiled for speed or for size. A page that only restores never downloads
 * the compressor; that is large, since it looks for predictions, and much of it runs once per tensor.
 */
const ROLES = { restore: '3', compress: 's' };

/** A page cannot show where a panic was: without the places and their formatting, files are 20 KB smaller. */
const PACKAGED = {
  toolchain: NIGHTLY,
  rustflags: ['-Z unstable-options', '-C panic=immediate-abort'],
  cargoArgs: ['-Z', 'build-std=std,panic_abort'],
};

/** The files of the package, by name: how each is compiled, and what it may weigh. */
export const WASM_BUILDS = Object.fromEntries(
  Object.entries(ROLES).flatMap(([role, optLevel]) =>
    Object.values(TARGETS).map((target) => {
      const name = `${role}${target.suffix}`;
      const features = [role, ...target.features];
      const rustflags = [...target.rustflags, ...target.packagedRustflags, ...PACKAGED.rustflags];
      return [
        name,
        { ...target, ...PACKAGED, rustflags, role, optLevel, features, file: `bitx-${name}.wasm` },
      ];
    }),
  ),
);

/** The builds of the bindings for the tests: with and without threads, each with every operation. */
export const WASM_TESTS = Object.fromEntries(
  Object.entries(TARGETS).map(([name, target]) => {
    const features = [...Object.keys(ROLES), ...target.features];
    return [name, { ...target, features, testFeatures: [...features, ...target.testFeatures] }];
  }),
);

/** The environment that makes cargo compile for one of the builds. */
export function cargoEnv({ toolchain, rustflags, targetDir, optLevel }) {
  return {
    RUSTUP_TOOLCHAIN: toolchain,
    RUSTFLAGS: rustflags.join(' '),
    CARGO_TARGET_DIR: join(root, targetDir),
    ...(optLevel && { CARGO_PROFILE_WASM_RELEASE_OPT_LEVEL: optLevel }),
  };
}
