/// <reference types="node" />
import type { FileHandle } from 'node:fs/promises';

/**
 * Returns an open file as an output, which is written from the beginning and truncated to the
 * written length. Devices and pipes have no length: for them, `regular` is `false`.
 *
 * The stream fails with the file system's error, and the call with `io`.
 *
 * @example
 * ```ts
 * await bitx.restore({ base, delta, output: fileOutput(await open('model', 'w')) });
 * ```
 */
export function fileOutput(file: FileHandle, regular = true): WritableStream<Uint8Array> {
  let at = 0;
  return new WritableStream({
    write: async (bytes) => {
      for (let done = 0; done < bytes.length; ) {
        const place = regular ? at : null;
        const { bytesWritten } = await file.write(bytes, done, bytes.length - done, place);
        done += bytesWritten;
        at += bytesWritten;
      }
    },
    close: async () => {
      if (!regular) return;
      await file.truncate(at);
      await file.sync();
    },
    abort: () => (regular ? file.truncate(0) : undefined),
  });
}
