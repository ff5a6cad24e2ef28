import { type Bytes, Parts } from '../../common/index.js';
import type { Io } from './io.js';

/** The destination of an operation's output. `abort` removes an incomplete output. */
export interface Sink {
  write(bytes: Bytes): Promise<void>;
  close?(): Promise<Blob | undefined>;
  abort?(): Promise<void>;
}

/** Collects the output in a Blob. */
export function blobSink(): Required<Omit<Sink, 'abort'>> {
  const parts = new Parts();
  return { write: async (bytes) => parts.add(bytes), close: async () => parts.blob() };
}

let nextKey = 0;

/** Writes the output to a file. */
export async function fileSink(io: Io, handle: FileSystemFileHandle): Promise<Sink> {
  const key = nextKey++;
  await io.create(key, handle);
  return {
    write: (bytes) => io.write(key, bytes),
    close: async () => {
      await io.finish(key);
      return undefined;
    },
    abort: () => io.discard(key),
  };
}
