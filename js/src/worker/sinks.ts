import { BitxError, messageOf } from '../errors.js';
import { Parts } from '../parts.js';
import type { Product } from '../protocol.js';

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
    close: async () => ({ blob: parts.finish() }),
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

/** Writes to a file. */
export async function fileSink(handle: FileSystemFileHandle): Promise<Sink> {
  return withIoErrors('createWritable' in handle ? await writableSink(handle) : await accessSink(handle));
}

/** The browser writes beside the file and puts the result in its place on `close`. */
async function writableSink(handle: FileSystemFileHandle): Promise<Sink> {
  const stream = await ioError(() => handle.createWritable());
  return {
    write: (bytes) => stream.write(bytes),
    close: async () => {
      await stream.close();
      return {};
    },
    abort: () => stream.abort(),
  };
}

interface AccessHandle {
  write(bytes: Bytes, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** For browsers without `createWritable`. Written in place, so a failure empties the file. */
async function accessSink(handle: FileSystemFileHandle): Promise<Sink> {
  const opener = handle as FileSystemFileHandle & { createSyncAccessHandle(): Promise<AccessHandle> };
  const access = await ioError(() => opener.createSyncAccessHandle());
  let at = 0;
  access.truncate(0);
  return {
    write: async (bytes) => {
      const written = access.write(bytes, { at });
      if (written !== bytes.length) throw new Error(`only ${written} of ${bytes.length} bytes were taken`);
      at += written;
    },
    close: async () => {
      access.flush();
      access.close();
      return {};
    },
    abort: async () => {
      access.truncate(0);
      access.close();
    },
  };
}

function withIoErrors(sink: Sink): Sink {
  return {
    write: (bytes) => ioError(() => sink.write(bytes)),
    close: () => ioError(() => sink.close()),
    abort: () => sink.abort(),
  };
}

async function ioError<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new BitxError('io', `The output could not be written: ${messageOf(cause)}`, { cause });
  }
}
