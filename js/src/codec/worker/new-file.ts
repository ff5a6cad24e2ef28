import { type Bytes, free } from '../../common/index.js';
import { type Access, openShared, type PrivateHandle, writeAt } from './access.js';

/** The mode of a file that several workers write. */
const SHARED = 'readwrite-unsafe';
/** The name of the error of a file that another worker holds. */
const LOCKED = 'NoModificationAllowedError';

/** A file that is being written. Until it is finished, its name has the old content or none. */
export interface NewFile {
  /** The incomplete file, if other workers can write to it as well. */
  part?: FileSystemFileHandle | undefined;
  write(bytes: Bytes): Promise<void>;
  finish(): Promise<void>;
  discard(): Promise<void>;
}

/**
 * Begins new content for a file. In the origin private file system, an access handle writes it,
 * several times as fast as a stream; elsewhere there are only streams. With a `size`, several
 * workers write the content, if the browser permits that.
 */
export async function createFile(handle: FileSystemFileHandle, size?: number): Promise<NewFile> {
  const root = await navigator.storage.getDirectory();
  const path = await root.resolve(handle);
  return path && 'move' in handle ? privateFile(root, path, size) : streamedFile(handle);
}

async function privateFile(
  root: FileSystemDirectoryHandle,
  path: string[],
  size: number | undefined,
): Promise<NewFile> {
  const release = await unlocked(() => claim(`bitx:${path}`));
  const name = path.pop() as string;
  let folder = root;
  for (const name of path) folder = await folder.getDirectoryHandle(name);
  const part = (await folder.getFileHandle(`${name}.part`, { create: true })) as PrivateHandle;
  const access = await openPart(part, size).catch(async (error: unknown) => {
    // This fails for a part that another worker holds.
    await folder.removeEntry(part.name).catch(() => {});
    release();
    throw error;
  });
  const close = () => {
    access.close();
    release();
  };
  let at = 0;
  return {
    part: access.mode === SHARED ? part : undefined,
    write: async (bytes) => {
      writeAt(access, bytes, at);
      at += bytes.length;
      free(bytes);
    },
    finish: async () => {
      access.flush();
      close();
      await unlocked(async () => part.move?.(folder, name));
    },
    discard: async () => {
      close();
      await folder.removeEntry(part.name);
    },
  };
}

/**
 * Opens the part of a file, which is empty then. With a `size`, the part has that size, and where
 * the browser permits it, it is open for several workers.
 */
async function openPart(part: PrivateHandle, size: number | undefined): Promise<Access> {
  const access = await unlocked(() => part.createSyncAccessHandle());
  try {
    access.truncate(0);
    if (!size) return access;
    // Otherwise each worker would reserve space for all bytes before those that it writes. Browsers
    // notice a lack of space only when they write.
    access.truncate(size);
    writeAt(access, new Uint8Array(1), size - 1);
    if (!access.mode) return access;
  } catch (error) {
    access.close();
    throw error;
  }
  access.close();
  return openShared(part, SHARED);
}

/**
 * Claims a file, so that no other call writes it: in the mode that workers share, the browser does
 * not keep others out. Returns a function that ends the claim.
 */
function claim(name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const held = (lock: Lock | null) =>
      lock ? new Promise<void>(resolve) : reject(new DOMException('a call holds it', LOCKED));
    navigator.locks.request(name, { ifAvailable: true }, held).catch(reject);
  });
}

/** Opens or moves a file, and tries again while a worker that is about to end holds it. */
async function unlocked<T>(action: () => Promise<T>): Promise<T> {
  for (let tries = 20; ; tries--) {
    try {
      return await action();
    } catch (error) {
      if (!tries || (error as Error).name !== LOCKED) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Writes through a stream: the browser writes beside the file and replaces it at the end. */
async function streamedFile(handle: FileSystemFileHandle): Promise<NewFile> {
  const stream = await handle.createWritable();
  return {
    write: (bytes) => stream.write(bytes),
    finish: () => stream.close(),
    discard: () => stream.abort(),
  };
}
