import type { CallOptions, Progress } from '../codec/types.js';
import { BitxError, messageOf } from '../common/index.js';
import type { FolderOptions } from './types.js';

/** The names of the options that all calls have. */
export const OPTIONS = 'onFile signal onProgress';

/** The progress of a call over all files. */
export class Meter {
  readonly #options: FolderOptions;
  readonly #total: number;
  #done = 0;

  constructor(options: FolderOptions, total: number) {
    this.#options = options;
    this.#total = total;
  }

  /** Begins a file, and returns the options of its call. */
  begin(path: string): CallOptions {
    const { onFile, onProgress, signal } = this.#options;
    onFile?.(path);
    const report = ({ phase, loaded }: Progress) => {
      // A download comes before the work, and counts its own bytes.
      if (phase !== 'download') onProgress?.({ phase, loaded: this.#done + loaded, total: this.#total });
    };
    return { ...(signal && { signal }), ...(onProgress && { onProgress: report }) };
  }

  /** Ends a file of this many bytes. */
  end(bytes: number): void {
    this.#done += bytes;
  }
}

/** Adds the path of the file at fault to an error. What a folder or a function throws is `io`. */
export async function named<T>(path: string, call: Promise<T>): Promise<T> {
  return call.catch((error: unknown) => {
    if (!(error instanceof BitxError))
      throw new BitxError('io', `${path}: ${messageOf(error)}`, { cause: error });
    if (error.code === 'aborted' || error.code === 'disposed') throw error;
    throw new BitxError(error.code, `${path}: ${error.message}`, { ...error, cause: error.cause });
  });
}
