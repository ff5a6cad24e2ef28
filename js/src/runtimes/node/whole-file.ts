/// <reference types="node" />
import { randomUUID } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BitxError, messageOf } from '../../common/index.js';
import { fileOutput } from './file-output.js';

/** The state of a file that is being made. */
interface Making {
  /** The path that the caller gave. */
  path: string;
  file: FileHandle;
  /** The temporary beside the file; undefined if the file is written as it is. */
  temporary: string | undefined;
  /** The path without links, which the temporary gets in the end. */
  place: string;
}

/**
 * An output file that appears under its name when it is complete, and not at all if the call fails.
 * Until then, a temporary beside it has the bytes. A device or a pipe is written as it is.
 */
export class WholeFile {
  readonly #making: Making;
  #settled: Promise<void> | undefined;

  /** Creates the temporary, so that a path that cannot be written fails before the work begins. */
  static async create(path: string): Promise<WholeFile> {
    const wrap = (cause: unknown): never => {
      // The message would otherwise name the temporary, which the caller does not know.
      const reason = messageOf(cause).replace(/, \w+( '.*')?$/, '');
      throw new BitxError('io', `${path} could not be written: ${reason}`, { cause });
    };
    return new WholeFile(await begin(path).catch(wrap));
  }

  private constructor(making: Making) {
    this.#making = making;
  }

  /** Returns the stream that takes the bytes. Closing it gives the file its name. */
  stream(): WritableStream<Uint8Array> {
    const { file, temporary } = this.#making;
    const output = fileOutput(file, temporary !== undefined).getWriter();
    return new WritableStream({
      write: (bytes) => output.write(bytes),
      close: async () => {
        await output.close();
        this.#settled ??= commit(this.#making);
        await this.#settled;
      },
      abort: () => this.discard(),
    });
  }

  /** Removes the temporary, unless the file is complete. */
  async discard(): Promise<void> {
    this.#settled ??= remove(this.#making);
    await this.#settled.catch(() => remove(this.#making));
  }
}

async function begin(path: string): Promise<Making> {
  const place = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return path;
    throw error;
  });
  const old = await stat(place).catch(() => undefined);
  if (old?.isDirectory()) throw new Error(`EISDIR: ${path} is a folder`);
  if (old && !old.isFile()) return { path, place, file: await open(place, 'w'), temporary: undefined };
  return { path, place, ...(await temporaryBeside(place, old)) };
}

/** Creates a temporary with the permissions of the file that it replaces. */
async function temporaryBeside(place: string, old: Stats | undefined) {
  const temporary = join(dirname(place), `.bitx-${randomUUID()}.part`);
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  const file = await open(temporary, O_WRONLY | O_CREAT | O_EXCL);
  try {
    if (old) await file.chmod(old.mode & 0o7777);
  } catch (error) {
    await file.close();
    await rm(temporary, { force: true });
    throw error;
  }
  return { file, temporary };
}

async function commit({ file, temporary, place }: Making): Promise<void> {
  await file.close();
  if (temporary) await rename(temporary, place);
}

async function remove({ file, temporary }: Making): Promise<void> {
  await file.close().catch(() => {});
  if (temporary) await rm(temporary, { force: true });
}
