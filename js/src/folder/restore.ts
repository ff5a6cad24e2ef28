import type { Bitx } from '../codec/bitx.js';
import type { CallOptions, Input } from '../codec/types.js';
import { BitxError, checkOptions, checkWhole } from '../common/index.js';
import { BaseFiles } from './base.js';
import { checked, MANIFEST, sums } from './compress.js';
import { destination } from './destination.js';
import { Meter, named, OPTIONS } from './meter.js';
import { type Folder, invalid, openFolder } from './source.js';
import type { FolderInput, FolderResult, Manifest, ManifestEntry, RestoreFolderOptions } from './types.js';

/**
 * Reads the manifest of a folder of archives. Paths that leave the folder, and all else that
 * contradicts itself, are refused.
 *
 * Fails with `format`, `corrupt`, `limit`, `unsupported`, `network`, `io`, `invalid-argument`,
 * `aborted` or `disposed`.
 *
 * @example
 * ```ts
 * const { files, base } = await inspectFolder(bitx, 'https://models.example/fine-tune.bitx/');
 * ```
 */
export async function inspectFolder(
  bitx: Bitx,
  archives: FolderInput,
  options: CallOptions = {},
): Promise<Manifest> {
  checkOptions('inspectFolder', options, 'signal');
  return manifestOf(bitx, await openFolder('archives', archives), options);
}

/**
 * Restores the files of a model from a folder of archives and its base. Of folders on servers, only
 * the archives and the base files that are needed are fetched, and of those only the ranges. The
 * base may be sharded in another way than it was when the archives were made, if it can be listed.
 *
 * A folder handle keeps the files that were complete when a call failed.
 *
 * Fails with the codes of {@link Bitx.restore}; an archive that is not the one of the manifest is
 * `corrupt`.
 *
 * @example
 * ```ts
 * const archives = 'https://models.example/fine-tune.bitx/';
 * const output = await showDirectoryPicker({ mode: 'readwrite' });
 * await restoreFolder(bitx, { base: baseFolder, archives, output });
 * ```
 */
export async function restoreFolder(bitx: Bitx, options: RestoreFolderOptions): Promise<FolderResult> {
  checkOptions('restoreFolder', options, `base archives output files maxOutput ${OPTIONS}`);
  checkWhole(options, 'maxOutput');
  const archives = await openFolder('archives', options.archives);
  const manifest = await manifestOf(bitx, archives, options);
  const entries = chosen(manifest, options.files);
  const { storedBytes, restoredBytes } = sums(entries);
  checkMost(restoredBytes, options.maxOutput);
  const base = new BaseFiles(bitx, await openFolder('base', options.base), manifest.base);
  const files = new Map<string, Blob>();
  const folder = await destination(options.output, files);
  const meter = new Meter(options, restoredBytes);
  try {
    for (const entry of entries) {
      const { path, bytes } = entry.file;
      const delta = await named(entry.archive.path, archiveOf(bitx, archives, entry, options));
      const output = await named(path, folder.at(path));
      const call = async () => {
        const inputs = { base: await base.needed(entry.base), delta, maxOutput: bytes };
        return bitx.restore({ ...inputs, ...(output && { output }), ...meter.begin(path) });
      };
      const blob = await named(path, call());
      if (blob) files.set(path, blob);
      meter.end(bytes);
    }
    await folder.finish();
    return { manifest, storedBytes, restoredBytes, files };
  } catch (error) {
    await folder.discard();
    throw error;
  }
}

async function manifestOf(
  bitx: Bitx,
  archives: Folder,
  options: { signal?: AbortSignal },
): Promise<Manifest> {
  const file = archives.at(MANIFEST);
  if (!file) throw new BitxError('format', `archives is no folder of archives: it has no ${MANIFEST}`);
  return JSON.parse(await named(MANIFEST, checked(bitx, file, options)));
}

/** Returns the entries of the files to restore. */
function chosen(manifest: Manifest, files: readonly string[] | undefined): ManifestEntry[] {
  if (!files) return manifest.files;
  const byPath = new Map(manifest.files.map((entry) => [entry.file.path, entry]));
  return [...new Set(files)].map((path) => {
    const entry = byPath.get(path);
    if (!entry) throw invalid(`the model has no file ${path}`);
    return entry;
  });
}

function checkMost(bytes: number, most = Number.POSITIVE_INFINITY): void {
  if (bytes <= most) return;
  const figures = { expected: most, found: bytes };
  throw new BitxError('limit', 'the files are larger than maxOutput allows', figures);
}

/** Returns the archive of a file, and checks that it restores the file that the manifest says. */
async function archiveOf(
  bitx: Bitx,
  archives: Folder,
  { file, archive }: ManifestEntry,
  { signal }: { signal?: AbortSignal },
): Promise<Input> {
  let delta = archives.at(archive.path);
  if (!delta) throw new BitxError('io', 'the archive is missing', { file: 'delta' });
  // A response can be read only once.
  if (delta instanceof Response) delta = await delta.blob();
  const info = await bitx.inspect(delta, signal ? { signal } : {});
  const expected = [archive.bytes, file.bytes, file.blake3].join();
  const found = [info.storedBytes, info.restoredBytes, info.blake3].join();
  if (found === expected) return delta;
  const message = `the archive is not the one that ${MANIFEST} names`;
  throw new BitxError('corrupt', message, { file: 'delta', expected, found });
}
