import { abortable } from '../common/index.js';
import { orAbortError } from './abort.js';
import { parseIntegrity } from './integrity.js';
import type { CachedFile } from './types.js';

/**
 * Cross-Origin Storage: files that all sites of a browser share, by their SHA-256. It is a proposal
 * that an extension implements.
 */
interface CrossOriginStorage {
  requestFileHandle(
    hash: { algorithm: 'SHA-256'; value: string },
    options?: { create?: boolean; origins?: '*' },
  ): Promise<FileSystemFileHandle>;
}

const hashOf = (value: string) => ({ algorithm: 'SHA-256', value }) as const;

/** Returns the shared storage of this browser, if it has one. */
export function crossOriginStorage(): CrossOriginStorage | undefined {
  return (navigator as { crossOriginStorage?: CrossOriginStorage }).crossOriginStorage;
}

/**
 * Returns the shared file with a SHA-256; undefined if there is none, the user refuses it, or the
 * digest is another one. Its content has not been checked.
 */
export async function sharedFile(
  storage: CrossOriginStorage,
  integrity: string | undefined,
  signal = new AbortController().signal,
): Promise<File | undefined> {
  const digest = integrity === undefined ? undefined : parseIntegrity(integrity);
  if (digest?.algorithm !== 'sha256') return undefined;
  const opening = storage.requestFileHandle(hashOf(digest.hex)).then((handle) => handle.getFile());
  // The user may take minutes to answer.
  return orAbortError(signal, () =>
    abortable(
      signal,
      opening.catch(() => undefined),
    ),
  );
}

/** Offers a file to all sites. A failure changes nothing for this one. */
export async function share(storage: CrossOriginStorage, file: CachedFile): Promise<void> {
  try {
    const options = { create: true, origins: '*' } as const;
    const handle = await storage.requestFileHandle(hashOf(file.model.sha256), options);
    await file.stream().pipeTo(await handle.createWritable());
  } catch {
    // The user has refused, the disk is full, or the file was deleted meanwhile.
  }
}
