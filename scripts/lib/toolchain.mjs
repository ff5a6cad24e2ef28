import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cargoHome, root, rustupHome } from './paths.mjs';

/** The stable toolchain, pinned in the file that rustup reads. */
export const STABLE = /channel\s*=\s*"([^"]+)"/.exec(
  readFileSync(join(root, 'rust-toolchain.toml'), 'utf8'),
)[1];
/**
 * The nightly toolchain. Only nightly can build the standard library: with atomics for threads, and
 * small for the package.
 */
export const NIGHTLY = 'nightly-2026-05-20';
export const WASM_BINDGEN = '0.2.130';
export const WASM_TARGET = 'wasm32-unknown-unknown';
/** The systems that the native crates support, besides the one that runs the tests. */
export const FOREIGN_TARGETS = ['x86_64-pc-windows-gnu', 'aarch64-apple-darwin'];

/**
 * The initial size of the memory in bytes. The shared glue creates the memory, so the size must
 * suit every build with threads.
 */
const INITIAL_MEMORY = 2 << 20;
const MAX_MEMORY = 1 << 30;

/**
 * The exports that wasm-bindgen needs to give each thread its own stack and thread-local storage.
 */
const THREAD_EXPORTS = ['__wasm_init_tls', '__tls_size', '__tls_align', '__tls_base', '__heap_base'];
const THREAD_LINK_ARGS = [
  '--shared-memory',
  '--import-memory',
  `--max-memory=${MAX_MEMORY}`,
  ...THREAD_EXPORTS.map((name) => `--export=${name}`),
];

/** Flags that keep the builder's folders out of the panic messages in the wasm. */
const REMAP = Object.entries({ [cargoHome]: 'cargo', [rustupHome]: 'rustup', [root]: '.' }).map(
  ([from, to]) => `--remap-path-prefix=${from}=${to}`,
);

/**
 * The flag for symbol names that distinguish generic functions by their parameters, which pruning
 * needs. It is the default of the nightly.
 */
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
    // The test page has no bundler, and the helper script of the thread pool must know that.
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
 * The flag that takes the attribute `inline` of functions, of which the standard library has many,
 * for little more than none. Kernels have `inline(always)`.
 */
const HINTED = '-C llvm-args=-inlinehint-threshold=60';

/**
 * Flags by which loops stay as they are written. LLVM would unroll all kinds of loops, hot or not,
 * and keep a register for each address in them. Kernels say how many words they take at a time, and
 * engines compute addresses by themselves, so that neither makes a file faster.
 */
const PLAIN_LOOPS = ['-unroll-runtime=false', '-unroll-allow-partial=false', '-disable-lsr'].map(
  (flag) => `-C llvm-args=${flag}`,
);

/**
 * The operations of each file, and its optimisation for speed or for size. A page that only
 * restores never downloads the compressor. That one is large, since it searches for predictions,
 * and much of it runs only once per tensor. Restoring is as fast at level 2 and with little
 * inlining as at level 3, since its kernels say what is inlined, and the file is 12 % smaller.
 */
const ROLES = {
  restore: { optLevel: '2', rustflags: ['-C llvm-args=-inline-threshold=50', HINTED, ...PLAIN_LOOPS] },
  compress: { optLevel: 's', rustflags: [HINTED, ...PLAIN_LOOPS] },
};

/**
 * Settings for the package. A page cannot show the place of a panic, and without places and their
 * formatting, files are 20 KB smaller. The standard library's sorts and its printing of numbers are
 * not on the path of a window, so that its small variants of them are used.
 */
const PACKAGED = {
  toolchain: NIGHTLY,
  rustflags: ['-Z unstable-options', '-C panic=immediate-abort'],
  cargoArgs: ['-Z', 'build-std=std,panic_abort', '-Z', 'build-std-features=optimize_for_size'],
};

/** The files of the package, by name: the way in which each is compiled. */
export const WASM_BUILDS = Object.fromEntries(
  Object.entries(ROLES).flatMap(([role, { optLevel, rustflags: own }]) =>
    Object.values(TARGETS).map((target) => {
      const name = `${role}${target.suffix}`;
      const features = [role, ...target.features];
      const rustflags = [...target.rustflags, ...target.packagedRustflags, ...PACKAGED.rustflags, ...own];
      return [
        name,
        {
          ...{ ...target, ...PACKAGED, rustflags, role, optLevel, features },
          file: `bitx-${name}.wasm`,
          // Flags and levels differ, so that builds share nothing. With folders of their own, they
          // run at the same time.
          targetDir: `target/wasm/${name}`,
        },
      ];
    }),
  ),
);

/**
 * The builds of the bindings for the tests: with and without threads, each with every operation.
 */
export const WASM_TESTS = Object.fromEntries(
  Object.entries(TARGETS).map(([name, target]) => {
    const features = [...Object.keys(ROLES), ...target.features];
    return [name, { ...target, features, testFeatures: [...features, ...target.testFeatures] }];
  }),
);

/**
 * The operations of each file of the package, compiled as for the tests, for the linter. It needs
 * none of the package's settings, each of which would have it check the standard library again.
 */
export const WASM_LINTS = Object.fromEntries(
  Object.keys(ROLES).flatMap((role) =>
    Object.values(TARGETS).map((target) => [
      `${role}${target.suffix}`,
      { ...target, features: [role, ...target.features] },
    ]),
  ),
);

/** Returns the environment that makes cargo compile for one of the builds. */
export function cargoEnv({ toolchain, rustflags, targetDir, optLevel }) {
  return {
    RUSTUP_TOOLCHAIN: toolchain,
    RUSTFLAGS: rustflags.join(' '),
    CARGO_TARGET_DIR: join(root, targetDir),
    ...(optLevel && { CARGO_PROFILE_WASM_RELEASE_OPT_LEVEL: optLevel }),
  };
}
