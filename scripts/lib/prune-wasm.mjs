import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Functions of the zstd encoder that levels 3 and 4 never call: the other levels' strategy, and the variant of
 * theirs that looks for matches of four bytes instead of five.
 */
const NEVER_CALLED = [/^zrip_encode\[\w+\]::fast::/, /^zrip_encode\[\w+\]::dfast::dfast_block::<.*, 4u32>$/];

/**
 * Empties those functions in a wasm file, so that wasm-opt can remove them and what only they used: about 100 KB.
 *
 * The compiler cannot see that they are never called, because the level is a value at run time. The core refuses
 * every level but 3 and 4 on wasm before it calls the encoder (`LEVELS` in src/entropy/zstd/mod.rs). If that were
 * ever untrue, a call would trap: it could not write a wrong archive.
 */
export async function pruneZstd(file) {
  const { default: binaryen } = await import('binaryen');
  const module = binaryen.readBinary(readFileSync(file));
  try {
    const names = Array.from({ length: module.getNumFunctions() }, (_, index) =>
      nameOf(binaryen, module, index),
    );
    for (const pattern of NEVER_CALLED) empty(binaryen, module, names, pattern);
    writeFileSync(file, module.emitBinary());
  } finally {
    module.dispose();
  }
}

function nameOf(binaryen, module, index) {
  return binaryen.getFunctionInfo(module.getFunctionByIndex(index)).name;
}

/** A pattern that matches nothing tells that the encoder has changed, and that this has to be thought through again. */
function empty(binaryen, module, names, pattern) {
  const matching = names.filter((name) => pattern.test(name));
  if (matching.length === 0) throw new Error(`the zstd encoder has no function like ${pattern} any more`);
  for (const name of matching) binaryen.Function(module.getFunction(name)).body = module.unreachable();
}
