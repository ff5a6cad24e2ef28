/** The steps that check the native crates for the other operating systems that they are written for. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { run } from '../lib/run.mjs';
import { FOREIGN_TARGETS, STABLE } from '../lib/toolchain.mjs';

const folder = join(root, 'target', 'stub-compiler');

export const TARGET_STEPS = FOREIGN_TARGETS.map((target) => ({
  name: `cargo check, ${target}`,
  run: () => checkTarget(target),
}));

/**
 * Compiles every native crate for another system as far as `cargo check` does: types, borrows and `cfg`s.
 *
 * Some dependencies have C code, for which a compiler of that system would be needed. Nothing is linked, so what comes
 * out of their build scripts is never used: a stand-in for the compiler leaves empty files.
 */
async function checkTarget(target) {
  const compiler = stubCompiler();
  const suffix = target.replaceAll('-', '_');
  await run('cargo', ['check', '--workspace', '--exclude', 'bitx-wasm', '--target', target], {
    env: {
      RUSTUP_TOOLCHAIN: STABLE,
      RUSTFLAGS: '-D warnings',
      // Of its own: flags are part of what cargo compares before it takes a crate as it is.
      CARGO_TARGET_DIR: join(root, 'target', 'check'),
      [`CC_${suffix}`]: compiler,
      [`CXX_${suffix}`]: compiler,
      [`AR_${suffix}`]: compiler,
      SDKROOT: folder,
    },
  });
}

/** Writes a program that takes a compiler's or an archiver's arguments and makes the output that they name, empty. */
function stubCompiler() {
  const program = join(folder, 'compiler');
  mkdirSync(folder, { recursive: true });
  writeFileSync(program, STUB);
  chmodSync(program, 0o755);
  return program;
}

/** A compiler's output follows `-o`; an archiver's is the first argument that ends in `.a`. */
const STUB = `#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    -o) : > "$2"; shift ;;
    -o?*) : > "\${1#-o}" ;;
    *.a) : > "$1" ;;
  esac
  shift
done
`;
