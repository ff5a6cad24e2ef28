/// <reference types="node" />
/**
 * Open files as inputs and outputs, in Node.
 *
 * @module bitx-wasm/node
 */
import type { FileHandle } from 'node:fs/promises';
import type { RangeSource } from '../../codec/types.js';

export { ModelCache } from './cache.js';
export { fileOutput } from './file-output.js';

/**
 * Returns an open file as an input. Only the necessary ranges are read; the caller closes the file.
 *
 * Rejects with the file system's error.
 *
 * @example
 * ```ts
 * const base = await fileSource(await open('base.safetensors'));
 * ```
 */
export async function fileSource(file: FileHandle): Promise<RangeSource> {
  const { size } = await file.stat();
  return {
    size,
    read: async (offset, length) => {
      const bytes = new Uint8Array(length);
      let at = 0;
      // One call reads at most 2 GiB, and less if the file has become shorter.
      while (at < length) {
        const { bytesRead } = await file.read(bytes, at, length - at, offset + at);
        if (bytesRead === 0) break;
        at += bytesRead;
      }
      return bytes.subarray(0, at);
    },
  };
}
