import { initSync, type Job } from '../../../generated/compress-threads/bitx_wasm.js';
import type { Bytes } from '../../common/index.js';

let memory: WebAssembly.Memory;

/**
 * Creates this worker's instance of the wasm.
 *
 * The glue of one build serves all of them, because it has everything that the others import; the
 * build script checks that. It would create a shared memory, which the single-threaded builds do
 * not need, so they get an empty memory.
 */
export function instantiate(module: WebAssembly.Module, shared = false): void {
  ({ memory } = initSync(shared ? { module } : { module, memory: new WebAssembly.Memory({ initial: 0 }) }));
}

/** Returns the size of the wasm memory in bytes. */
export function memoryBytes(): number {
  return memory.buffer.byteLength;
}

/**
 * Returns the place of the input number `index`, of `length` bytes, of a job's window. It is valid
 * until the next call of the wasm.
 */
export function inputOf(job: Job, index: number, length: number): Uint8Array {
  return new Uint8Array(memory.buffer, job.inputAt(index, length), length);
}

/**
 * Returns the place of the output of a job's window. It is valid until the next call of the wasm.
 */
export function outputOf(job: Job): Uint8Array {
  return new Uint8Array(memory.buffer, job.outputAt(), job.outputLength());
}

/** Returns a copy of the output of a job's window. */
export function copyOf(job: Job): Bytes {
  // A copy of shared memory is not shared.
  return outputOf(job).slice() as Bytes;
}
