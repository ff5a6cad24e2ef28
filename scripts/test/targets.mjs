/** The steps that check the native crates for the other systems that they support. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { run } from '../lib/run.mjs';
import { FOREIGN_TARGETS, STABLE } from '../lib/toolchain.mjs';

const folder = join(root, 'target', 'stub-compiler');

export const TARGET_STEPS = [{ name: `cargo check, ${FOREIGN_TARGETS.join(' and ')}`, run: checkTargets }];

/**
 * Checks every native crate for the other systems with `cargo check`: types, borrows and `cfg`s.
 * One run checks all of them, so that both cores have work while the last crates are checked.
 *
 * Some dependencies have C code, which needs a compiler for that system. The check links nothing
 * and so never uses the compiled C code, so that a stub that writes empty files can take the place
 * of the compiler.
 */
async function checkTargets() {
  const targets = FOREIGN_TARGETS.flatMap((target) => ['--target', target]);
  await run('cargo', ['check', '--workspace', '--exclude', 'bitx-wasm', ...targets], {
    env: {
      RUSTUP_TOOLCHAIN: STABLE,
      RUSTFLAGS: '-D warnings',
      // A folder of its own, since cargo rebuilds a crate if the flags change.
      CARGO_TARGET_DIR: join(root, 'target', 'check'),
      SDKROOT: folder,
      ...stubs(stubCompiler()),
    },
  });
}

/** Returns the variables that make the stub the compiler and archiver for all other systems. */
function stubs(compiler) {
  const suffixes = FOREIGN_TARGETS.map((target) => target.replaceAll('-', '_'));
  const names = suffixes.flatMap((suffix) => ['CC', 'CXX', 'AR'].map((tool) => `${tool}_${suffix}`));
  return Object.fromEntries(names.map((name) => [name, compiler]));
}

/**
 * Writes a stub for compilers and archivers, which creates the output that its arguments name, as
 * an empty file.
 */
function stubCompiler() {
  const program = join(folder, 'compiler');
  mkdirSync(folder, { recursive: true });
  writeFileSync(program, STUB);
  chmodSync(program, 0o755);
  return program;
}

/**
 * The stub. The output of a compiler follows `-o`; that of an archiver is the first argument that
 * ends in `.a`.
 */
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
