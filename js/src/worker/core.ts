import init, * as glue from '../../generated/compress-threads/bitx_wasm.js';
import type { Role } from '../protocol.js';
import type { Mode } from '../types.js';

/** The core's exports, the same in every build. */
export type Core = Pick<typeof glue, 'Job' | 'memoryBytes'>;
export type Job = glue.Job;

/** The files beside this script, by addresses that bundlers recognise. */
const FILES: Record<Role, Record<Mode, () => URL>> = {
  restore: {
    single: () => new URL('./bitx-restore.wasm', import.meta.url),
    threads: () => new URL('./bitx-restore-threads.wasm', import.meta.url),
  },
  compress: {
    single: () => new URL('./bitx-compress.wasm', import.meta.url),
    threads: () => new URL('./bitx-compress-threads.wasm', import.meta.url),
  },
};

/**
 * Fetches and compiles one build; the URL defaults to the file beside this script.
 *
 * One build's glue serves them all, since it has all that the others import (the build script makes sure). It would
 * create a shared memory, which the single-threaded builds have no use for: hence the empty one.
 */
export async function loadCore(role: Role, mode: Mode, url: string | undefined): Promise<Core> {
  const file = url ?? FILES[role][mode]();
  const memory = mode === 'threads' ? {} : { memory: new WebAssembly.Memory({ initial: 0 }) };
  await init({ module_or_path: file, ...memory });
  return glue;
}

/** Starts the workers that the threaded builds compute on. */
export const startPool = glue.initThreadPool;
