import { BitxError, type BitxErrorCode } from '../common/index.js';
import { Bitx } from '../index.js';
import type { FineTune, FineTuneProgress, Wanted } from './fine-tune.js';
import { requireFit } from './integrity.js';
import { here } from './plan.js';
import type { CachedFile, ModelInfo } from './types.js';

/** The codes of failures that come from wrong bytes of a delta. */
const WRONG_BYTES: BitxErrorCode[] = [
  'base-mismatch',
  'corrupt',
  'format',
  'integrity',
  'limit',
  'truncated',
  'unsupported',
];

/** The label of a restored model that records the files it was made from. */
const SOURCES = 'bitx-sources';

/** A file that a model was made from, with the URL by which it was requested. */
export type Source = Pick<ModelInfo, 'url' | 'sha256' | 'blake3'>;

/** Returns the files that a model was made from; none for a model that was not restored. */
export function sourcesOf({ labels }: ModelInfo): Source[] {
  return JSON.parse(labels[SOURCES] ?? '[]');
}

/**
 * Fetches the files and restores the model. A cached delta may be damaged, or of another time than
 * its base: if it fails, it is fetched again once.
 */
export async function fetchAndRestore(job: FineTune): Promise<File> {
  const { signal } = job.options;
  const bitx = job.options.bitx ?? (await Bitx.create(signal ? { signal } : {}));
  try {
    const cached = (await here(job.cache, job.delta)) !== undefined;
    return await attempt(job, bitx).catch((error: unknown) => {
      if (!cached || !(error instanceof WrongDelta)) throw error;
      return attempt(job, bitx);
    });
  } catch (error) {
    throw error instanceof WrongDelta ? error.cause : error;
  } finally {
    if (bitx !== job.options.bitx) bitx.dispose();
  }
}

/** The failure of an archive, which is no longer in the cache; `cause` is its error. */
class WrongDelta extends Error {}

async function attempt(job: FineTune, bitx: Bitx): Promise<File> {
  const { cache, delta, bases, options } = job;
  // The delta comes first: it is small, and if it is not an archive, the base is not needed.
  const archive = await fetched(job, delta, 'delta');
  const judged = <T>(action: Promise<T>) =>
    action.catch(async (error: unknown) => {
      if (!(error instanceof BitxError) || !WRONG_BYTES.includes(error.code)) throw error;
      await cache.delete(archive.model.url);
      throw new WrongDelta(error.message, { cause: error });
    });
  const made = await judged(bitx.inspect(archive, options.signal ? { signal: options.signal } : {}));
  const files: CachedFile[] = [];
  for (const [index, base] of bases.entries()) {
    const against = base.integrity === undefined ? made.bases[index] : undefined;
    // The base that the delta was made against may be cached under any URL.
    const held = against && (await cache.findByDigest(`blake3-${against.blake3}`));
    files.push(held ?? (await fetched(job, base, 'base')));
  }
  return judged(restore(job, bitx, archive, files, made.restoredBytes));
}

function fetched(
  { cache, options }: FineTune,
  { url, integrity }: Wanted,
  phase: FineTuneProgress['phase'],
): Promise<CachedFile> {
  const { headers = {}, refreshUrl, signal } = options;
  return cache.fetch(url, {
    headers,
    onProgress: ({ loaded, total }) => options.onProgress?.({ phase, loaded, total }),
    ...(integrity !== undefined && { integrity }),
    ...(refreshUrl && { refreshUrl }),
    ...(signal && { signal }),
  });
}

/** Restores into the cache as a stream, or into a file that is not stored. */
async function restore(
  job: FineTune,
  bitx: Bitx,
  archive: CachedFile,
  base: CachedFile[],
  size: number,
): Promise<File> {
  const { cache, delta, required, store, options } = job;
  const { signal } = options;
  const onProgress = ({ loaded, total }: Omit<FineTuneProgress, 'phase'>) =>
    options.onProgress?.({ phase: 'restore', loaded, total });
  const inputs = { base, delta: archive, onProgress, ...(signal && { signal }) };
  if (!store) {
    const blob = await bitx.restore(inputs);
    if (required) requireFit('The restored model', await cache.digestsOf(blob, { signal }), required);
    return new File([blob], nameOf(delta.url));
  }
  const sources = sourcesFor(job, [archive, ...base]);
  const key = `bitx:restored/${sources.map(({ sha256 }) => sha256).join('/')}`;
  // The same files always restore to the same model, which a wrong digest must not remove.
  const made = (await cache.stat(key))?.model;
  if (made) requireFit('The restored model', made, required);
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const [model] = await Promise.all([
    cache.put(key, readable, {
      size,
      labels: { [SOURCES]: JSON.stringify(sources) },
      ...(required && { integrity: `${required.algorithm}-${required.hex}` }),
      ...(signal && { signal }),
    }),
    bitx.restore({ ...inputs, output: writable }),
  ]);
  await cache.delete(archive.model.url);
  return model;
}

/** Describes the files of a model, by the URLs that the caller gave. */
function sourcesFor({ delta, bases }: FineTune, files: CachedFile[]): Source[] {
  const wanted = [delta, ...bases];
  return files.map(({ model: { sha256, blake3, url } }, index) => ({
    url: wanted[index]?.url ?? url,
    sha256,
    blake3,
  }));
}

function nameOf(url: string): string {
  return new URL(url).pathname.split('/').at(-1) ?? '';
}
