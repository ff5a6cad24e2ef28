import type { Input } from '../codec/types.js';
import { absolute, BitxError } from '../common/index.js';
import { listed as listedOnDisk } from './disk.js';
import type { FolderInput } from './types.js';

/** The folders that tools keep beside a model's files and that are left out. */
const LEFT_OUT = ['.git', '.cache', '.hg', '.svn'];

/** The files of a folder. */
export interface Folder {
  /** The inputs by path; undefined for a folder that cannot be listed. */
  files: Map<string, Input> | undefined;
  /** The input at a path, if there is one. */
  at(path: string): Input | undefined;
}

/** Opens a folder; `name` is its role in messages. */
export async function openFolder(name: string, input: FolderInput): Promise<Folder> {
  if (typeof input === 'string' || input instanceof URL) return addressed(input);
  const files = await listed(name, input);
  return { files, at: (path) => files.get(path) };
}

/** Opens a folder that can be listed, and returns its files sorted by path. */
export async function filesOf(name: string, input: FolderInput): Promise<Map<string, Input>> {
  const { files } = await openFolder(name, input);
  if (!files) throw invalid(`${name} cannot be listed: pass its files in place of an address`);
  if (files.size === 0) throw invalid(`${name} has no files`);
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Returns a folder on a server, or in Node on the disk. */
async function addressed(input: string | URL): Promise<Folder> {
  const local = await listedOnDisk(input, LEFT_OUT);
  if (local) return { files: local, at: (path) => local.get(path) };
  const address = absolute(input).replace(/(\/bitx\.json|\/)?([?#].*)?$/, '/');
  const at = (path: string) => address + path.split('/').map(encodeURIComponent).join('/');
  return { files: undefined, at };
}

async function listed(name: string, input: Exclude<FolderInput, string | URL>): Promise<Map<string, Input>> {
  if (input instanceof Map) return input;
  const kind = (input as FileSystemDirectoryHandle)?.kind;
  if (kind === 'directory') return walked(input as FileSystemDirectoryHandle, '', new Map());
  if (input && Symbol.iterator in input) return named(name, input as Iterable<File>);
  if (Object.getPrototypeOf(input ?? 0) === Object.prototype)
    return new Map(Object.entries(input as { [path: string]: Input }));
  throw invalid(`${name} must be a folder handle, files, a Map, an object from paths to inputs or a URL`);
}

async function walked(
  folder: FileSystemDirectoryHandle,
  prefix: string,
  files: Map<string, Input>,
): Promise<Map<string, Input>> {
  const entries = folder as unknown as AsyncIterable<[string, FileSystemHandle]>;
  for await (const [name, handle] of entries) {
    if (handle.kind === 'file') files.set(prefix + name, handle as FileSystemFileHandle);
    else if (!LEFT_OUT.includes(name))
      await walked(handle as FileSystemDirectoryHandle, `${prefix}${name}/`, files);
  }
  return files;
}

/** Returns files by their paths inside the folder that was chosen, or by their names. */
function named(name: string, list: Iterable<File>): Map<string, Input> {
  const files = new Map<string, Input>();
  for (const file of list) {
    if (!(file instanceof Blob)) throw invalid(`${name} has something that is no File`);
    const inside = file.webkitRelativePath?.split('/').slice(1) ?? [];
    if (inside.slice(0, -1).some((part) => LEFT_OUT.includes(part))) continue;
    const path = inside.join('/') || file.name;
    if (files.has(path)) throw invalid(`two files of ${name} have the path ${path}`);
    files.set(path, file);
  }
  return files;
}

export function invalid(message: string): BitxError {
  return new BitxError('invalid-argument', message);
}
