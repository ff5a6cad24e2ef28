/** A file that was dropped, chosen or named by its address. */
export interface Named {
  /** The path inside of the dropped folder, or the file's name. */
  path: string;
}

/** The files of one model, in order; a model in shards has several. */
export interface Group<F extends Named> {
  name: string;
  files: F[];
}

/** Files sorted by their use. */
export interface Groups<F extends Named> {
  models: Group<F>[];
  deltas: Group<F>[];
}

/** The kinds of model files, from the one to prefer if a folder has several. */
const KINDS = [
  /\.safetensors$/i,
  /\.gguf$/i,
  /\.onnx(_data(_\d+)?|\.data)?$/i,
  /\.(bin|pt|pth|ckpt|jit|npz)$/i,
];
const DELTA = /\.bitx$/i;
const SHARD = /[-_.](\d+)[-_]of[-_]\d+(?=\.)/i;

/** Returns `true` if a path is that of an archive of bitx. */
export function isDelta({ path }: Named): boolean {
  return DELTA.test(path);
}

/**
 * Sorts files into models and deltas, and puts the shards of one model together. Of a folder, only
 * the files of the best kind are taken; a file that was given alone is taken whatever it is.
 */
export function groupFiles<F extends Named>(files: F[]): Groups<F> {
  const deltas = files.filter(isDelta);
  const others = files.filter((file) => !isDelta(file));
  const alone = others.filter(({ path }) => !path.includes('/'));
  const folders = groupBy(
    others.filter(({ path }) => path.includes('/')),
    ({ path }) => path.slice(0, path.lastIndexOf('/')),
  );
  const inFolders = [...folders.values()].flatMap(bestKind);
  return { models: shardsTogether([...alone, ...inFolders]), deltas: shardsTogether(deltas) };
}

function bestKind<F extends Named>(files: F[]): F[] {
  for (const kind of KINDS) {
    const found = files.filter(({ path }) => kind.test(path));
    if (found.length > 0) return found;
  }
  return [];
}

function shardsTogether<F extends Named>(files: F[]): Group<F>[] {
  const groups = groupBy(files, ({ path }) => path.replace(SHARD, ''));
  return [...groups].map(([path, files]) => ({
    name: nameOf(path),
    files: files.toSorted((a, b) => shardNumber(a) - shardNumber(b)),
  }));
}

function shardNumber({ path }: Named): number {
  return Number(SHARD.exec(path)?.[1] ?? 0);
}

/** Returns a model's name: its file's, or that of its folder if the file has the usual one. */
function nameOf(path: string): string {
  const parts = path.split('/');
  const file = parts.at(-1) ?? path;
  const folder = parts.at(-2);
  return folder && /^(pytorch_|adapter_)?model\./.test(file) ? `${folder}/${file}` : file;
}

function groupBy<T>(items: T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}
