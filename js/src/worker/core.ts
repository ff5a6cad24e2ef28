import * as single from '../../generated/single/bitx_wasm.js';
import * as threads from '../../generated/threads/bitx_wasm.js';
import type { Mode } from '../types.js';

/** What both builds export. */
export type Core = Pick<typeof single, 'Job' | 'memoryBytes'>;
export type Job = InstanceType<Core['Job']>;

/** Fetches and compiles one build; the URL defaults to the file beside this script. */
export async function loadCore(mode: Mode, url: string | undefined): Promise<Core> {
  if (mode === 'single') {
    await single.default({ module_or_path: url ?? new URL('./bitx.wasm', import.meta.url) });
    return single;
  }
  await threads.default({ module_or_path: url ?? new URL('./bitx-threads.wasm', import.meta.url) });
  return threads;
}

/** Starts the workers that the threaded build computes on. */
export const startPool = threads.initThreadPool;
