import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cargoHome, root, rustupHome } from './paths.mjs';

/** The stable toolchain is pinned where rustup looks for it. */
export const STABLE = /channel\s*=\s*"([^"]+)"/.exec(
  readFileSync(join(root, 'rust-toolchain.toml'), 'utf8'),
)[1];
/** Threads need a standard library built with atomics, which only nightly can do. */
export const NIGHTLY = 'nightly-2026-05-20';
export const WASM_BINDGEN = '0.2.130';
export const WASM_TARGET = 'wasm32-unknown-unknown';

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

/** The two builds of the bindings: how each is compiled, and where its files go. */
export const WASM_BUILDS = {
  single: {
    toolchain: STABLE,
    features: 'wasm',
    testFeatures: 'wasm',
    cargoArgs: [],
    rustflags: ['-C target-feature=+simd128,+bulk-memory', ...REMAP],
    targetDir: 'target/wasm-single',
    file: 'bitx.wasm',
    wasmOptArgs: [],
    maxBytes: 380_000,
  },
  threads: {
    toolchain: NIGHTLY,
    features: 'wasm,wasm-threads',
    // The test page has no bundler, which the thread pool's own helper script has to know.
    testFeatures: 'wasm,wasm-threads,wasm-bindgen-rayon/no-bundler',
    cargoArgs: ['-Z', 'build-std=std,panic_abort'],
    rustflags: [
      '-C target-feature=+atomics,+bulk-memory,+mutable-globals,+simd128',
      ...THREAD_LINK_ARGS.map((arg) => `-C link-arg=${arg}`),
      ...REMAP,
    ],
    targetDir: 'target/wasm-threads',
    file: 'bitx-threads.wasm',
    wasmOptArgs: ['--enable-threads'],
    maxBytes: 450_000,
  },
};

/** The environment that makes cargo compile for one of the builds. */
export function cargoEnv({ toolchain, rustflags, targetDir }) {
  return {
    RUSTUP_TOOLCHAIN: toolchain,
    RUSTFLAGS: rustflags.join(' '),
    CARGO_TARGET_DIR: join(root, targetDir),
    // wasm-bindgen reads which features were used from a section that stripping would remove.
    CARGO_PROFILE_WASM_RELEASE_STRIP: 'false',
  };
}
