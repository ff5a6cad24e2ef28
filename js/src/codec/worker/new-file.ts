import { type Bytes, free } from '../../common/index.js';

/** A file that is being written. Until it is finished, its name has the old content or none. */
export interface NewFile {
  write(bytes: Bytes): Promise<void>;
  finish(): Promise<void>;
  discard(): Promise<void>;
}

/**
 * Methods that TypeScript's library lacks, since they exist in workers only or not in every
 * browser.
 */
interface Handle extends FileSystemFileHandle {
  createSyncAccessHandle?(): Promise<AccessHandle>;
  move?(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
}

interface AccessHandle {
  write(bytes: Bytes, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/**
 * Begins new content for a file. In the origin private file system, an access handle writes it,
 * several times as fast as a stream; elsewhere there are only streams.
 */
export async function createFile(handle: FileSystemFileHandle): Promise<NewFile> {
  const folder = await folderOf(handle);
  return folder && 'move' in handle ? privateFile(folder, handle.name) : streamedFile(handle);
}

/** Returns the folder of a file in the origin private file system; undefined for other files. */
async function folderOf(handle: FileSystemFileHandle): Promise<FileSystemDirectoryHandle | undefined> {
  let folder = await navigator.storage.getDirectory();
  const path = await folder.resolve(handle);
  for (const name of path?.slice(0, -1) ?? []) folder = await folder.getDirectoryHandle(name);
  return path ? folder : undefined;
}

async function privateFile(folder: FileSystemDirectoryHandle, name: string): Promise<NewFile> {
  const part: Handle = await folder.getFileHandle(`${name}.part`, { create: true });
  const access = await accessHandle(part as Required<Handle>);
  let at = 0;
  access.truncate(0);
  return {
    write: async (bytes) => {
      const written = access.write(bytes, { at });
      if (written !== bytes.length) throw new Error('there may be no space left');
      at += written;
      free(bytes);
    },
    finish: async () => {
      access.flush();
      access.close();
      await part.move?.(folder, name);
    },
    discard: async () => {
      access.close();
      await folder.removeEntry(part.name);
    },
  };
}

/** Opens an access handle, and tries again while a worker that has just ended holds the file. */
async function accessHandle(part: Required<Handle>): Promise<AccessHandle> {
  for (let tries = 20; ; tries--) {
    try {
      return await part.createSyncAccessHandle();
    } catch (error) {
      if (!tries || (error as Error).name !== 'NoModificationAllowedError') throw error;
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
