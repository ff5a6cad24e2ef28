/**
 * A handle of a private file, with the methods that TypeScript's library lacks: they exist in
 * workers only, or not in every browser.
 */
export interface PrivateHandle extends FileSystemFileHandle {
  createSyncAccessHandle(options?: { mode: AccessMode }): Promise<Access>;
  move?(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
}

/**
 * The mode in which a file is open. Several workers can open a file in the first two modes at the
 * same time. Browsers without modes open every file in the last one.
 */
export type AccessMode = 'read-only' | 'readwrite-unsafe' | 'readwrite';

/** A file that is open in this worker. */
export interface Access {
  /** Undefined in browsers without modes. */
  readonly mode?: AccessMode;
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  getSize(): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** Opens a private file in one of the modes that several workers can share. */
export function openShared(handle: FileSystemFileHandle, mode: AccessMode): Promise<Access> {
  return (handle as PrivateHandle).createSyncAccessHandle({ mode });
}

/** Writes all bytes at a place of a file. */
export function writeAt(access: Access, bytes: Uint8Array, at: number): void {
  if (access.write(bytes, { at }) !== bytes.length) throw new Error('there may be no space left');
}
