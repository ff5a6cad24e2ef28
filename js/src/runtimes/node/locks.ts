/// <reference types="node" />
/** The replacement of `navigator.locks`: locks that all programs with the same folder share. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';

const WAIT_MS = 50;
/**
 * The age in milliseconds from which an empty or a cleaning lock counts as left by a program that
 * was killed.
 */
const CLEANING_MS = 10_000;

const folderOf = (directory: string) => join(directory, 'locks');

/** Frees the locks of a thread of this program that has ended. */
export async function freeLocks(directory: string, thread: number): Promise<void> {
  const folder = folderOf(directory);
  for (const name of await readdir(folder).catch(() => [])) {
    const holder = await readFile(join(folder, name), 'utf8').catch(() => '');
    if (holder.startsWith(`${process.pid} ${thread} `)) await rm(join(folder, name), { force: true });
  }
}

export function folderLocks(directory: string) {
  const folder = folderOf(directory);
  return {
    async request<T>(
      name: string,
      { signal }: { signal: AbortSignal },
      action: () => Promise<T>,
    ): Promise<T> {
      await mkdir(folder, { recursive: true });
      const path = join(folder, createHash('sha256').update(name).digest('hex').slice(0, 32));
      while (!(await taken(path))) {
        await clean(path);
        signal.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
        signal.throwIfAborted();
      }
      try {
        return await action();
      } finally {
        await rm(path, { force: true });
      }
    },
  };
}

/**
 * Takes a lock by creating its file, which names the holder; returns `false` if the file exists.
 */
async function taken(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(`${process.pid} ${threadId} ${randomUUID()}`);
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes the lock of a program that has ended. A second lock keeps others from doing so at the
 * same time, since the lock might be taken anew between their check and their removal.
 */
async function clean(path: string): Promise<void> {
  const holder = await orphaned(path);
  if (holder === undefined) return;
  const cleaning = `${path}.cleaning`;
  if (await taken(cleaning)) {
    if ((await orphaned(path)) === holder) await rm(path, { force: true });
    await rm(cleaning, { force: true });
  } else if ((await age(cleaning)) > CLEANING_MS) {
    await rm(cleaning, { force: true });
  }
}

/** Returns the content of a lock whose program has ended, and `undefined` for any other. */
async function orphaned(path: string): Promise<string | undefined> {
  const holder = await readFile(path, 'utf8').catch(() => undefined);
  if (holder === undefined) return undefined;
  // A program that was killed before it wrote its name has left the file empty.
  if (holder === '') return (await age(path)) > CLEANING_MS ? holder : undefined;
  return isRunning(Number.parseInt(holder, 10)) ? undefined : holder;
}

async function age(path: string): Promise<number> {
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
  return Date.now() - mtimeMs;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
