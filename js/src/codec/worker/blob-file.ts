import { LOCK } from '../page-name.js';
import type { Io } from './io.js';
import { fileSink, type Sink } from './sinks.js';

/** The path of the folder of outputs that are handed out as Blobs. */
const FOLDER = ['bitx-wasm', 'blobs'];

/** The length in bytes from which an output is written to a file. Memory is faster for shorter ones. */
const LEAST = 16 << 20;

/**
 * Writes an output to a private file, which is then handed out as a Blob. Returns undefined for a
 * short output, and where there are no private files or is no space for one.
 *
 * The file must stay for as long as any part or address of the Blob may be in use, which only the
 * end of the page tells. `pageOf` returns the name of a page that holds its lock, if there is one.
 */
export async function privateBlob(
  io: () => Promise<Io>,
  size: number,
  pageOf: () => Promise<string | undefined>,
): Promise<Sink | undefined> {
  if (size < LEAST) return undefined;
  try {
    const page = await pageOf();
    if (page === undefined) return undefined;
    const name = `${page}.${Math.random()}`;
    const folder = await folderOf(true);
    const handle = await folder.getFileHandle(name, { create: true });
    const remove = () => folder.removeEntry(name);
    const sink = await fileSink(await io(), handle, size).catch(async (error: unknown) => {
      await remove();
      throw error;
    });
    return {
      ...sink,
      close: async () => {
        await sink.close?.();
        return handle.getFile();
      },
      abort: async () => {
        await sink.abort?.();
        await remove();
      },
    };
  } catch {
    return undefined;
  }
}

/** Removes the files of pages that have ended. */
export async function removeLeftovers(): Promise<void> {
  const folder = await folderOf(false);
  for await (const name of folder.keys()) {
    const [page] = name.split('.');
    const remove = async (lock: Lock | null) => lock && folder.removeEntry(name);
    await navigator.locks.request(`${LOCK}${page}`, { ifAvailable: true }, remove);
  }
}

async function folderOf(create: boolean): Promise<FileSystemDirectoryHandle> {
  let folder = await navigator.storage.getDirectory();
  for (const name of FOLDER) folder = await folder.getDirectoryHandle(name, { create });
  return folder;
}
