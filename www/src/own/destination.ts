import { BitxError } from 'bitx-wasm';
import type { Saved } from '../result.js';
import { openResults } from './results.js';

/** Results of this size or more go to the disk while they are made. */
const LARGE = 256e6;

/** The place of a result. Without a handle, it becomes a Blob. */
export interface Destination {
  output?: FileSystemFileHandle;
  /** Returns the result, given the Blob if there is no handle. */
  finish: (blob: Blob | undefined) => Promise<Saved>;
}

/** A window with the dialog for saving, which not every browser has. */
type WithPicker = Window & {
  showSaveFilePicker?: (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;
};

/**
 * Returns the place for a result of about `size` bytes. A large one is written to a file of the
 * reader's choice, or else to the browser's own disk space, so that it never is in memory.
 */
export async function destinationOf(name: string, size: number): Promise<Destination> {
  if (size < LARGE) return blobDestination(name);
  const { showSaveFilePicker } = window as WithPicker;
  // A dialog needs a click that was not long ago.
  if (showSaveFilePicker && navigator.userActivation?.isActive) {
    const output = await showSaveFilePicker.call(window, { suggestedName: name });
    return { output, finish: async () => ({ blob: await output.getFile(), name: output.name, kept: true }) };
  }
  return privateFile(name, size);
}

function blobDestination(name: string): Destination {
  return {
    finish: async (blob) => {
      if (!blob) throw new Error('the engine returned nothing');
      return { blob, name };
    },
  };
}

/** Returns a file of the origin private file system, in the folder of this tab. */
async function privateFile(name: string, size: number): Promise<Destination> {
  const folder = await openResults();
  if (!folder) return blobDestination(name);
  const { quota = Number.POSITIVE_INFINITY, usage = 0 } = await navigator.storage.estimate();
  if (quota - usage < size) {
    const have = quota - usage;
    throw new BitxError('quota', `The result needs ${size} bytes, but the browser grants ${have}`, {
      need: size,
      have,
    });
  }
  const output = await folder.getFileHandle(name, { create: true });
  return { output, finish: async () => ({ blob: await output.getFile(), name }) };
}
