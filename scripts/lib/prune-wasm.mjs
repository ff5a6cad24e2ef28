import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Functions of the zstd encoder that levels 3 and 4 never call: the other levels' strategy, and the variant of
 * theirs that looks for matches of four bytes instead of five.
 *
 * The compiler cannot see that they are never called, because the level is a value at run time. The bindings refuse
 * every level but 3 and 4 before they make a job (`LEVELS` in wasm/src/convert.rs). If that were ever untrue, a call
 * would trap: it could not write a wrong archive. About 100 KB.
 */
const OTHER_ZSTD_LEVELS = [
  /^zrip_encode\[\w+\]::fast::/,
  /^zrip_encode\[\w+\]::dfast::dfast_block::<.*, 4u32>$/,
];

/**
 * What prints a floating-point number. The core never does; the JSON parser would, to quote a fraction that stands
 * where an integer should. Its message does without the number. About 18 KB.
 */
const FLOAT_PRINTER = /^<f64 as core\[\w+\]::fmt::Display>::fmt$/;

/** Empties functions in a wasm file, so that wasm-opt can remove them and what only they used. */
export async function pruneWasm(file, { role }) {
  const { default: binaryen } = await import('binaryen');
  const module = binaryen.readBinary(readFileSync(file));
  try {
    const replace = replacer(binaryen, module);
    replace(FLOAT_PRINTER, () => module.i32.const(0));
    if (role === 'compress')
      for (const names of OTHER_ZSTD_LEVELS) replace(names, () => module.unreachable());
    writeFileSync(file, module.emitBinary());
  } finally {
    module.dispose();
  }
}

/** A pattern that matches nothing tells that the code has changed, and that this has to be thought through again. */
function replacer(binaryen, module) {
  const functions = Array.from({ length: module.getNumFunctions() }, (_, i) => module.getFunctionByIndex(i));
  const named = functions.map((ref) => ({ ref, name: binaryen.getFunctionInfo(ref).name }));
  return (pattern, body) => {
    const matching = named.filter(({ name }) => pattern.test(name));
    if (matching.length === 0) throw new Error(`nothing to prune is named like ${pattern} any more`);
    for (const { ref } of matching) binaryen.Function(ref).body = body();
  };
}
