import init, * as glue from '../../generated/threads/bitx_wasm.js';
import type { Mode } from '../types.js';

/** The core's exports, the same in both builds. */
export type Core = Pick<typeof glue, 'Job' | 'memoryBytes'>;
export type Job = glue.Job;

/**
 * Fetches and compiles one build; the URL defaults to the file beside this script.
 *
 * The threaded build's glue serves both builds, since it has all that the other imports (the build script makes
 * sure). It would create a shared memory, which the single-threaded build has no use for: hence the empty one.
 */
export async function loadCore(mode: Mode, url: string | undefined): Promise<Core> {
  if (mode === 'threads') {
    await init({ module_or_path: url ?? new URL('./bitx-threads.wasm', import.meta.url) });
  } else {
    const memory = new WebAssembly.Memory({ initial: 0 });
    await init({ module_or_path: url ?? new URL('./bitx.wasm', import.meta.url), memory });
  }
  return glue;
}

/** Starts the workers that the threaded build computes on. */
export const startPool = glue.initThreadPool;
