import { Parts } from '../parts.js';
import type { Product } from '../protocol.js';
import type { Io } from './io.js';

type Bytes = Uint8Array<ArrayBuffer>;

/** Where an operation's output goes. `abort` leaves nothing half-written behind. */
export interface Sink {
  write(bytes: Bytes): Promise<void>;
  close(): Promise<Product>;
  abort(): Promise<void>;
}

/** Collects the output in a Blob. */
export function blobSink(): Sink {
  const parts = new Parts();
  return {
    write: async (bytes) => parts.add(bytes),
    close: async () => ({ blob: parts.blob() }),
    abort: async () => {},
  };
}

/** Collects the output in memory, for what is small. */
export function bytesSink(): Sink {
  const parts: Bytes[] = [];
  return {
    write: async (bytes) => void parts.push(bytes),
    close: async () => ({ bytes: joined(parts) }),
    abort: async () => {},
  };
}

function joined(parts: Bytes[]): Bytes {
  if (parts[0] && parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Hands every part to `send`, which resolves once it has been taken. Closing and aborting are the page's. */
export function remoteSink(send: (bytes: Bytes) => Promise<void>): Sink {
  return { write: send, close: async () => ({}), abort: async () => {} };
}

let nextKey = 0;

/** Writes a file. */
export async function fileSink(io: Io, handle: FileSystemFileHandle): Promise<Sink> {
  const key = nextKey++;
  await io.create(key, handle);
  return {
    write: (bytes) => io.write(key, bytes),
    close: async () => {
      await io.finish(key);
      return {};
    },
    abort: () => io.discard(key),
  };
}
