import { BitxError, type Bytes, messageOf } from '../../../common/index.js';

/** A file opened for reading and writing in place. The DOM types of TypeScript lack it here. */
export interface AccessHandle {
  read(into: Bytes, options: { at: number }): number;
  write(bytes: Bytes, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

type Opener = FileSystemFileHandle & { createSyncAccessHandle(): Promise<AccessHandle> };

/**
 * The pauses in milliseconds before another try, since the files of a closed tab stay locked for a
 * moment.
 */
const LOCK_WAITS_MS = [10, 30, 100, 200, 400, 800, 1600, 2000];

export function canAccess(): boolean {
  return (
    typeof FileSystemFileHandle === 'function' && 'createSyncAccessHandle' in FileSystemFileHandle.prototype
  );
}

export function openAccess(folder: FileSystemDirectoryHandle, name: string): Promise<AccessHandle> {
  return unlocked(name, async () => {
    const handle = (await folder.getFileHandle(name, { create: true })) as Opener;
    return handle.createSyncAccessHandle();
  });
}

export function removeEntry(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
  return unlocked(name, () => ignoreMissing(folder.removeEntry(name, { recursive: true })));
}

/** Resolves to undefined if there is no such file or folder. */
export async function ignoreMissing<T>(promise: Promise<T>): Promise<T | undefined>;
export async function ignoreMissing(promise: Promise<void>): Promise<void>;
export async function ignoreMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (isNamed(error, 'NotFoundError')) return undefined;
    throw error;
  }
}

/** Writes all bytes; throws if the handle writes fewer, which means that the storage is full. */
export function writeAll(access: AccessHandle, bytes: Bytes, at: number): void {
  const written = access.write(bytes, { at });
  if (written !== bytes.length) {
    throw new DOMException(`only ${written} of ${bytes.length} bytes were written`, 'QuotaExceededError');
  }
}

export function isNamed(error: unknown, name: string): boolean {
  return error instanceof DOMException && error.name === name;
}

async function unlocked<T>(name: string, action: () => Promise<T>): Promise<T> {
  for (const wait of LOCK_WAITS_MS) {
    try {
      return await action();
    } catch (error) {
      if (!isNamed(error, 'NoModificationAllowedError')) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  return action().catch((cause: unknown) => {
    if (!isNamed(cause, 'NoModificationAllowedError')) throw cause;
    throw new BitxError('locked', `${name} is open in another tab or program: ${messageOf(cause)}`, {
      cause,
    });
  });
}
