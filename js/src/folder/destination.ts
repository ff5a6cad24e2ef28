import type { Output } from '../codec/types.js';
import { type DiskFolder, newFolder } from './disk.js';
import { invalid } from './source.js';
import type { FolderOutput } from './types.js';

/** The destination of a folder's files. */
export interface Destination {
  /** Returns the output of a file; undefined to get it as a Blob. */
  at(path: string): Promise<Output | undefined>;
  /** Writes a short file. */
  put(path: string, content: Blob): Promise<void>;
  /** Returns the last bytes of a file that was written. */
  end(path: string, length: number): Promise<Blob | undefined>;
  finish(): Promise<void>;
  discard(): Promise<void>;
}

/** Opens a destination. Without an output, `files` takes the files. */
export async function destination(
  output: FolderOutput | undefined,
  files: Map<string, Blob>,
): Promise<Destination> {
  if (typeof output === 'string' || output instanceof URL) return onDisk(await newFolder(output));
  if (typeof output === 'function') return byCallback(output);
  if (output?.kind === 'directory') return inFolder(output);
  if (output === undefined) return collected(files);
  throw invalid('output must be a folder handle or a function');
}

const nothing = async () => {};

function collected(files: Map<string, Blob>): Destination {
  return {
    at: async () => undefined,
    put: async (path, content) => void files.set(path, content),
    end: async (path, length) => files.get(path)?.slice(-length),
    finish: nothing,
    discard: nothing,
  };
}

function byCallback(output: (path: string) => Output | Promise<Output>): Destination {
  const handles = new Map<string, FileSystemFileHandle>();
  const at = async (path: string) => {
    const place = await output(path);
    if (!place) throw invalid(`output returned nothing for ${path}`);
    if ('kind' in place) handles.set(path, place);
    return place;
  };
  const end = async (path: string, length: number) => ending(handles.get(path), length);
  return {
    at,
    end,
    put: async (path, content) => write(await at(path), content),
    finish: nothing,
    discard: nothing,
  };
}

/** Files that are complete stay when a later one fails: a folder handle cannot be renamed. */
function inFolder(folder: FileSystemDirectoryHandle): Destination {
  const at = async (path: string) => {
    const names = path.split('/');
    const file = names.pop() as string;
    let place = folder;
    for (const name of names) place = await place.getDirectoryHandle(name, { create: true });
    return place.getFileHandle(file, { create: true });
  };
  return {
    at,
    put: async (path, content) => write(await at(path), content),
    end: async (path, length) => ending(await at(path), length),
    finish: nothing,
    discard: nothing,
  };
}

/** In Node, the codec takes paths as outputs. */
function onDisk(folder: DiskFolder): Destination {
  return { ...folder, at: async (path) => (await folder.at(path)) as unknown as Output };
}

async function ending(file: FileSystemFileHandle | undefined, length: number): Promise<Blob | undefined> {
  return (await file?.getFile())?.slice(-length);
}

async function write(output: Output, content: Blob): Promise<void> {
  const stream = 'kind' in output ? await output.createWritable() : output;
  await content.stream().pipeTo(stream);
}
