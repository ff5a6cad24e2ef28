import { readFileSync } from 'node:fs';
import { shortenGlue } from './short-imports.mjs';

/**
 * Takes out of wasm-bindgen's glue what this package has no use for, about a quarter of it.
 *
 * Each entry replaces what a pattern matches. One that matches nothing tells that the glue has changed, and that this has
 * to be thought through again.
 */
const CUTS = [
  // It quotes values in messages about options of the wrong type.
  [/function debugString\(val\) \{[\s\S]*?\n\}/, 'function debugString(val) { return String(val); }'],
  // Only names and options cross as strings: a faster way for long ones is not worth its length.
  [/if \(realloc === undefined\) \{([\s\S]*?)\n {4}\}[\s\S]*?\n\}/, '$1\n}'],
  [/, wasm\.__wbindgen_realloc/g, ''],
  [/if \(cachedTextEncoder\) \{\s*cachedTextEncoder\.encodeInto[\s\S]*?\n\}/, ''],
  [/\(typeof TextEncoder !== 'undefined' \? (new TextEncoder\(\)) : undefined\)/, '$1'],
  // Nor do gigabytes of text.
  [/\(typeof TextDecoder !== 'undefined' \? (new TextDecoder\([^)]*\)) : undefined\)/, '$1'],
  [/if \(cachedTextDecoder\) cachedTextDecoder\.decode\(\);/, ''],
  [/numBytesDecoded \+= bytes\.length;\s*if \([\s\S]*?\n {4}\}/, ''],
  // Jobs are freed by hand, and the pool is built once.
  [/const \w+Finalization = \([\s\S]*?\n {4}: new FinalizationRegistry\(.*\);/g, ''],
  [/\w+Finalization\.\w+\(.*\);/g, ''],
  [/if \(Symbol\.dispose\) .*;/g, ''],
  [/(class wbg_rayon_PoolBuilder \{[\s\S]*?)__destroy_into_raw\(\) \{[\s\S]*?(?=build\(\))/, '$1'],
  // A worker's global object is `globalThis`, and no window.
  [/const ret = typeof globalThis === [\s\S]*?;\s*return .*;/, 'return addToExternrefTable0(globalThis);'],
  [/const ret = typeof (?:global|self|window) === [\s\S]*?;\s*return .*;/g, 'return 0;'],
  [/let result;\s*try \{\s*result = arg0 instanceof Window;[\s\S]*?return ret;/, 'return false;'],
  // The only caller gives a compiled module, in an object.
  [
    /if \(module !== undefined\) \{\s*if \([\s\S]*?\n {4}\}\n/,
    '({ module, memory, thread_stack_size } = module);',
  ],
  [/if \(!\(module instanceof WebAssembly\.Module\)\) \{[\s\S]*?\}/, ''],
  [/if \(typeof thread_stack_size !== 'undefined' && [\s\S]*?\n {4}\}/, ''],
  // These checks cannot throw: every worker has both.
  [
    /let result;\s*try \{\s*result = (arg0 instanceof (?:ArrayBuffer|Uint8Array));\s*\} catch[\s\S]*?const ret = result;/g,
    'const ret = $1;',
  ],
  // Properties are only set on objects made for it, which take any.
  [
    /function\(\) \{ return handleError\((function \(arg0, arg1, arg2\) \{\s*const ret = Reflect\.set[\s\S]*?\}), arguments\); \}/,
    '$1',
  ],
  // A job is freed once, and a worker has one instance. A freed one has the address 0, with which every call fails.
  [
    /const ptr = this\.__destroy_into_raw\(\);\s*wasm\.__wbg_job_free\(ptr, 0\);/,
    'wasm.__wbg_job_free(this.__wbg_ptr, this.__wbg_ptr = 0);',
  ],
  [/(class Job \{[\s\S]*?)__destroy_into_raw\(\) \{[\s\S]*?\n {4}\}/, '$1'],
  [/if \(wasm !== undefined\) return wasm;/, ''],
  // What is passed in is freed by the one who gets it; nothing is left to free when there is no memory.
  [/try \{\s*(ptr0 = pass[\s\S]*?)\} catch \(e\) \{[\s\S]*?throw e;\s*\}/, '$1'],
  // There is one allocator.
  [/(function pass\w+)\(arg, malloc\)/g, '$1(arg)'],
  [/, wasm\.__wbindgen_malloc\)/g, ')'],
  [/= malloc\(/g, '= wasm.__wbindgen_malloc('],
  // A view is made in no time, and seldom asked for.
  [
    /let cached\w+Memory0 = null;\n(function get(\w+)Memory0\(\) \{)[\s\S]*?\n\}/g,
    '$1 return new $2(wasm.memory.buffer); }',
  ],
  [/cached\w+Memory0 = null;/g, ''],
  // Strings are returned in three places.
  [
    /(?:const|var) (len\d) = WASM_VECTOR_LEN;\s*getDataViewMemory0\(\)\.setInt32\(.*1, \1, true\);\s*getDataViewMemory0\(\)\.setInt32\(.*, (ptr\d), true\);/g,
    'putString(arg0, $2);',
  ],
  // Results and failures come in one way each.
  [
    /if \(ret\[2\]\) \{\s*throw takeFromExternrefTable0\(ret\[1\]\);\s*\}\s*return takeFromExternrefTable0\(ret\[0\]\);/g,
    'return result(ret);',
  ],
  [/if \(ret\[1\]\) \{\s*throw takeFromExternrefTable0\(ret\[0\]\);\s*\}/g, 'succeed(ret);'],
  [
    /$/,
    `
function succeed([error, failed]) {
    if (failed) throw takeFromExternrefTable0(error);
}
function result([value, error, failed]) {
    succeed([error, failed]);
    return takeFromExternrefTable0(value);
}
function putString(at, ptr) {
    const view = getDataViewMemory0();
    view.setInt32((at >>> 0) + 4, WASM_VECTOR_LEN, true);
    view.setInt32(at >>> 0, ptr, true);
}
`,
  ],
];

/** Properties of the glue's classes, which nobody outside of the worker sees. */
export const INNER_PROPERTIES =
  /^(__(wbg_ptr|destroy_into_raw|wrap)|progressAfter|progressTotal|outputLength|numThreads|codecMs|waiting|ahead|proceed|demand|receiver|alive|onOpened|rewind|failure|sizes|finish|discard|pause)$/;

export const slimGlue = {
  name: 'slim-glue',
  setup({ onLoad }) {
    onLoad({ filter: /generated[\\/][\w-]+[\\/]bitx_wasm\.js$/ }, ({ path }) => ({
      contents: shortenGlue(CUTS.reduce(cut, readFileSync(path, 'utf8'))),
    }));
  },
};

function cut(glue, [pattern, replacement]) {
  const slim = glue.replace(pattern, replacement);
  if (slim === glue) throw new Error(`nothing in the glue is like ${pattern} any more`);
  return slim;
}
