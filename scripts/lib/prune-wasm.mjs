import { readFileSync, writeFileSync } from 'node:fs';

/**
 * The functions of the zstd encoder that levels 3 and 4 never call, about 100 KB: the strategy of
 * the other levels, and the variant of the strategy of levels 3 and 4 that searches for matches of
 * four bytes instead of five.
 *
 * The compiler cannot remove them, because the level is known only at run time. The bindings refuse
 * all levels but 3 and 4 before they create a job (`LEVELS` in wasm/src/convert.rs). If a call got
 * past this check, it would trap, and no wrong archive could be written.
 */
const OTHER_ZSTD_LEVELS = [
  /^zrip_encode\[\w+\]::fast::/,
  /^zrip_encode\[\w+\]::dfast::dfast_block::<.*, 4u32>$/,
];

/**
 * BLAKE3 without vectors, about 3 KB. The crate selects its kernels at run time, but in a build
 * with SIMD for WebAssembly it has only one choice.
 */
const PORTABLE_BLAKE3 = /^blake3\[\w+\]::portable::/;

/** Empties functions in a wasm file, so that wasm-opt can remove all code that only they use. */
export async function pruneWasm(file, { role }) {
  const { default: binaryen } = await import('binaryen');
  const module = binaryen.readBinary(readFileSync(file));
  try {
    const matching = finder(binaryen, module);
    const empty = (pattern) => {
      for (const ref of matching(pattern)) binaryen.Function(ref).body = module.unreachable();
    };
    empty(PORTABLE_BLAKE3);
    if (role === 'compress') OTHER_ZSTD_LEVELS.forEach(empty);
    writeFileSync(file, module.emitBinary());
  } finally {
    module.dispose();
  }
}

/**
 * Returns a function that finds the functions whose names match a pattern. A pattern without
 * matches is an error: the code has changed, so that the reasons above must be checked again.
 */
function finder(binaryen, module) {
  const functions = Array.from({ length: module.getNumFunctions() }, (_, i) => module.getFunctionByIndex(i));
  const named = functions.map((ref) => ({ ref, name: binaryen.getFunctionInfo(ref).name }));
  return (pattern) => {
    const matching = named.filter(({ name }) => pattern.test(name)).map(({ ref }) => ref);
    if (matching.length === 0) throw new Error(`no function to prune matches ${pattern} any more`);
    return matching;
  };
}
