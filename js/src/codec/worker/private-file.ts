import { type Access, openShared } from './access.js';

/** A file of the origin private file system, and its state when a call began. */
export interface Snapshot {
  handle: FileSystemFileHandle;
  file: File;
}

/** The time after a read for which a file stays open, in milliseconds. */
const IDLE_MS = 100;

/**
 * A private file that is open while it is read. Browsers keep others from changing an open file, so
 * it is closed when no read follows soon, for instance because a stream has no reader.
 */
export class PrivateFile {
  readonly #snapshot: Snapshot;
  #access: Promise<Access | undefined> | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  /** Opens the file. Resolves to undefined if that is not possible, or if the file has changed. */
  open(): Promise<Access | undefined> {
    clearTimeout(this.#idle);
    this.#access ??= opened(this.#snapshot).catch(() => undefined);
    return this.#access;
  }

  /**
   * Reads bytes to a place and returns their number. The function that returns the place is called
   * when the bytes are there to be copied.
   */
  async read(offset: number, length: number, place: () => Uint8Array): Promise<number> {
    const access = await this.open();
    if (access) {
      const count = access.read(place(), { at: offset });
      this.#idle = setTimeout(() => this.close(), IDLE_MS);
      return count;
    }
    // The snapshot of a file that has changed cannot be read.
    this.#access = undefined;
    const bytes = await readBlob(this.#snapshot.file, offset, length);
    place().set(bytes);
    return bytes.length;
  }

  async close(): Promise<void> {
    const access = this.#access;
    this.#access = undefined;
    (await access)?.close();
  }
}

export async function readBlob(blob: Blob, offset: number, length: number): Promise<Uint8Array> {
  return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
}

async function opened({ handle, file }: Snapshot): Promise<Access | undefined> {
  const access = await openShared(handle, 'read-only');
  const { size, lastModified } = await handle.getFile();
  if (size === file.size && lastModified === file.lastModified) return access;
  access.close();
  return undefined;
}
