/// <reference types="node" />
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Input } from '../../codec/types.js';
import { absolute, BitxError, messageOf } from '../../common/index.js';
import type { DiskFolder } from '../../folder/disk.js';

/** Lists a folder on the disk without the subfolders `leftOut`; undefined for a web address. */
export async function listed(
  input: string | URL,
  leftOut: string[],
): Promise<Map<string, Input> | undefined> {
  const path = pathOf(input);
  if (path === undefined) return undefined;
  const files = new Map<string, Input>();
  await walk(path, '', [], files, leftOut).catch((cause) => {
    throw new BitxError('io', `${path} could not be read: ${messageOf(cause)}`, { cause });
  });
  return files;
}

/** Lists a folder. Links are followed, because the caches of hubs use them. */
async function walk(
  folder: string,
  prefix: string,
  around: string[],
  files: Map<string, Input>,
  leftOut: string[],
): Promise<void> {
  const place = await realpath(folder);
  // A link may lead to a folder around it.
  if (around.includes(place)) return;
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const found = await stat(path);
    if (found.isFile()) files.set(prefix + name, path);
    else if (found.isDirectory() && !leftOut.includes(name))
      await walk(path, `${prefix}${name}/`, [...around, place], files, leftOut);
  }
}

/** Returns the length of a file on the disk in bytes; undefined for other addresses. */
export async function sizeOnDisk(input: string | URL): Promise<number | undefined> {
  const path = pathOf(input);
  if (path === undefined) return undefined;
  return (await stat(path).catch(() => undefined))?.size;
}

/** Creates a folder under a temporary name beside `output`, which it gets when it is complete. */
export async function newFolder(output: string | URL): Promise<DiskFolder> {
  const path = pathOf(output);
  if (path === undefined) {
    throw new BitxError('invalid-argument', `output must be the path of a folder, not "${output}"`);
  }
  const writing = async <T>(action: () => Promise<T>) =>
    action().catch((cause) => {
      throw new BitxError('io', `${path} could not be written: ${messageOf(cause)}`, { cause });
    });
  const temporary = await writing(async () => {
    const old = await readdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    if (old.length > 0) throw new Error('EEXIST: the folder has files');
    return mkdtemp(join(dirname(path), `.${basename(path)}-`));
  });
  const at = async (inside: string) => {
    const place = join(temporary, ...inside.split('/'));
    await writing(() => mkdir(dirname(place), { recursive: true }));
    return place;
  };
  return {
    at,
    put: async (inside, content) => {
      const place = await at(inside);
      await writing(async () => writeFile(place, new Uint8Array(await content.arrayBuffer())));
    },
    end: (inside, length) => writing(() => ending(join(temporary, ...inside.split('/')), length)),
    finish: () =>
      writing(async () => {
        await rmdir(path).catch(() => {});
        await rename(temporary, path);
      }),
    discard: () => rm(temporary, { recursive: true, force: true }),
  };
}

async function ending(path: string, length: number): Promise<Blob> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const bytes = new Uint8Array(Math.min(size, length));
    await file.read(bytes, 0, bytes.length, size - bytes.length);
    return new Blob([bytes]);
  } finally {
    await file.close();
  }
}

/** Returns the path of a folder; undefined for a web address. */
function pathOf(input: string | URL): string | undefined {
  const address = absolute(input);
  return address.startsWith('file:') ? fileURLToPath(address) : undefined;
}
