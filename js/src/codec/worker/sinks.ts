import { type Bytes, Parts } from '../../common/index.js';
import type { Io } from './io.js';

/** The destination of an operation's output. `abort` removes an incomplete output. */
export interface Sink {
  /** The file, if the workers that compute windows can write them to their places in it. */
  part?: FileSystemFileHandle | undefined;
  write(bytes: Bytes): Promise<void>;
  close?(): Promise<Blob | undefined>;
  abort?(): Promise<void>;
}

/** Collects the output in a Blob. */
export function blobSink(): Required<Omit<Sink, 'abort' | 'part'>> {
  const parts = new Parts();
  return { write: async (bytes) => parts.add(bytes), close: async () => parts.blob() };
}

let nextKey = 0;

/** Writes the output to a file. With a `size`, several workers may write to it. */
export async function fileSink(
  io: Io,
  handle: FileSystemFileHandle,
  size: number | undefined,
): Promise<Sink> {
  const key = nextKey++;
  return {
    part: await io.create(key, handle, size),
    write: (bytes) => io.write(key, bytes),
    close: async () => {
      await io.finish(key);
      return undefined;
    },
    abort: () => io.discard(key),
  };
}
