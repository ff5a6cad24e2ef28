import type { CachedFile } from '../cache/index.js';
import type { TensorPlace } from '../codec/types.js';
import { BitxError, type BitxErrorCode } from '../common/index.js';
import { listIn } from './answers.js';
import type { Connection } from './hub.js';
import type { ModelDigest, TensorDigest } from './messages.js';
import { integrityOf } from './pull.js';
import type {
  HubBase,
  HubPushBase,
  HubPushedFile,
  HubPushFile,
  HubPushOptions,
  HubPushPlan,
  HubPushPlanOptions,
  HubPushResult,
} from './types.js';

/** A file smaller than this is sent as it is. */
const SMALL = 1 << 16;

/** The codes of failures after which an upload cannot continue. */
const OVER: BitxErrorCode[] = ['not-found', 'conflict', 'integrity'];

/** The codes of files that are not sound models. */
const UNSOUND: BitxErrorCode[] = ['corrupt', 'format', 'limit', 'truncated', 'unsupported'];

/** The files of a push, by path. */
type Files = Record<string, HubPushFile>;

/** A file to push, with its digests. */
interface Source extends ModelDigest {
  path: string;
  blob: Blob;
}

/** The hub's answer about an announced file. */
interface Verdict {
  known: boolean;
  tensors: boolean[];
  bases: Omit<HubPushBase, 'here'>[];
}

/** The bytes that are sent for a file, and the query that names their form to the hub. */
interface Parcel {
  blob: Blob;
  query: string;
  base: HubBase | undefined;
}

/** An upload that has been announced. */
interface Upload {
  id: string;
  files: { source: Source; verdict: Verdict; parcel?: Parcel }[];
}

/**
 * The pushes to one hub. Digests, announcements and compressed files are kept, so that the next
 * call can continue with them.
 */
export class Pushes {
  readonly #hub: Connection;
  readonly #digests = new WeakMap<Blob, ModelDigest>();
  readonly #uploads = new Map<string, Upload>();

  constructor(hub: Connection) {
    this.#hub = hub;
  }

  async plan(name: string, files: Files, options: HubPushPlanOptions): Promise<HubPushPlan> {
    const sources = await this.#digestAll(files, options);
    const waiting = this.#uploads.get(keyOf(name, sources));
    const upload = waiting ?? (await this.#announce(name, sources, options.signal));
    // An announced upload occupies space at the hub.
    if (!waiting) await this.#giveUp(upload);
    const hints = await this.#hints(options);
    const planned = upload.files.map(async ({ source, verdict }) => {
      const { path, length, blake3, tensors } = source;
      const here = async (base: HubBase) => (await this.#bytesOf(base, hints)) !== undefined;
      const bases = await Promise.all(
        (verdict.known ? [] : verdict.bases).map(async (base) => ({ ...base, here: await here(base) })),
      );
      const base = bases.find(({ here }) => here);
      return {
        ...{ path, length, blake3, known: verdict.known, bases },
        tensors: total(tensors),
        knownTensors: total(tensors.filter((_, index) => verdict.known || verdict.tensors[index])),
        ...(base && { base }),
      };
    });
    return { name, files: await Promise.all(planned) };
  }

  async push(name: string, files: Files, options: HubPushOptions): Promise<HubPushResult> {
    const sources = await this.#digestAll(files, options);
    const key = keyOf(name, sources);
    const waiting = this.#uploads.get(key);
    const upload = waiting ?? (await this.#announce(name, sources, options.signal));
    this.#uploads.set(key, upload);
    try {
      await this.#send(name, upload, options);
    } catch (error) {
      const over = error instanceof BitxError && OVER.includes(error.code);
      if (over) this.#uploads.delete(key);
      // The hub forgets uploads that are not continued.
      if (over && waiting && error.code === 'not-found') return this.push(name, files, options);
      throw error;
    }
    this.#uploads.delete(key);
    const pushed = upload.files.map(pushedFile);
    const sum = (figure: 'length' | 'sentBytes') => pushed.reduce((sum, file) => sum + file[figure], 0);
    return { name, files: pushed, bytes: sum('length'), sentBytes: sum('sentBytes') };
  }

  async #digestAll(files: Files, { signal, onProgress }: HubPushPlanOptions): Promise<Source[]> {
    const sources: Source[] = [];
    for (const [path, file] of Object.entries(files)) {
      const report = (loaded: number, total: number) =>
        onProgress?.({ phase: 'digest', path, loaded, total });
      sources.push({ path, ...(await this.#digest(file, signal, report)) });
    }
    if (sources.length > 0) return sources;
    throw new BitxError('invalid-argument', 'There is no file to push');
  }

  /** Digests a file. A Blob never changes, so it is read once, however often it is pushed. */
  async #digest(
    file: HubPushFile,
    signal: AbortSignal | undefined,
    report: (loaded: number, total: number) => void = () => {},
  ): Promise<ModelDigest & { blob: Blob }> {
    const blob = file instanceof Blob ? file : await file.getFile();
    let digest = this.#digests.get(blob);
    if (!digest) {
      const tensors = await this.#tensorsOf(blob, signal);
      digest = await this.#hub.call('digest', { blob, tensors }, signal, (loaded) =>
        report(loaded, blob.size),
      );
    }
    this.#digests.set(blob, digest);
    return { ...digest, blob };
  }

  /**
   * Returns the tensors of a model. A file that is not a sound model is announced without tensors,
   * and the hub reports its fault.
   */
  async #tensorsOf(blob: Blob, signal: AbortSignal | undefined): Promise<TensorPlace[]> {
    const bitx = await this.#hub.bitx();
    try {
      return await bitx.tensors(blob, signal ? { signal } : {});
    } catch (error) {
      if (error instanceof BitxError && UNSOUND.includes(error.code)) return [];
      throw error;
    }
  }

  /** Announces the files to the hub. */
  async #announce(name: string, sources: Source[], signal: AbortSignal | undefined): Promise<Upload> {
    const files = sources.map(({ blob: _, ...announced }) => announced);
    const args = { method: 'POST', path: 'api/uploads', body: { name, files } };
    const answer = await this.#hub.call('request', args, signal);
    const verdicts = listIn<Verdict>(answer, 'files');
    if (verdicts.length !== sources.length) {
      throw new BitxError('format', 'The hub answered about other files than were announced to it');
    }
    return {
      id: (answer as { id: string }).id,
      files: sources.map((source, index) => ({ source, verdict: verdicts[index] as Verdict })),
    };
  }

  /** Cancels an upload. If that fails, the hub forgets the upload after some time. */
  async #giveUp({ id }: Upload): Promise<void> {
    await this.#hub.call('request', { method: 'DELETE', path: `api/uploads/${id}` }).catch(() => {});
  }

  async #send(name: string, upload: Upload, options: HubPushOptions): Promise<void> {
    const { signal, onProgress } = options;
    const hints = await this.#hints(options);
    for (const [index, file] of upload.files.entries()) {
      if (file.verdict.known) continue;
      const { path } = file.source;
      file.parcel ??= await this.#pack(file.source, file.verdict, hints, options);
      const { blob, query } = file.parcel;
      const args = { path: `api/uploads/${upload.id}/files/${index}${query}`, blob };
      await this.#hub.call('upload', args, signal, (loaded) =>
        onProgress?.({ phase: 'upload', path, loaded, total: blob.size }),
      );
    }
    await this.#publish(name, upload, signal);
  }

  /**
   * Packs a file: as a delta against the best available base, or in another form if that is
   * smaller.
   */
  async #pack(
    { path, blob: target }: Source,
    { bases }: Verdict,
    hints: Map<string, Blob>,
    { effort, signal, onProgress }: HubPushOptions,
  ): Promise<Parcel> {
    const raw = { blob: target, query: '?raw', base: undefined };
    if (target.size < SMALL) return raw;
    const held = await this.#best(bases, hints);
    const bitx = await this.#hub.bitx();
    const blob = await bitx.compress({
      ...{ base: held ? held.blob : [], target, effort },
      onProgress: ({ loaded, total }) => onProgress?.({ phase: 'compress', path, loaded, total }),
      ...(signal && { signal }),
    });
    if (blob.size >= target.size) return raw;
    return held ? { blob, query: `?base=${held.base.blake3}`, base: held.base } : { ...raw, blob, query: '' };
  }

  /**
   * Publishes an upload. If the answer gets lost, the hub's list of the model's files shows if the
   * upload was published.
   */
  async #publish(name: string, { id, files }: Upload, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#hub.call('request', { method: 'POST', path: `api/uploads/${id}/publish` }, signal);
    } catch (error) {
      if (!(error instanceof BitxError) || error.code !== 'not-found') throw error;
      const published = await this.#hub.filesOf(name, signal).catch(() => new Map<string, string>());
      if (files.some(({ source }) => published.get(source.path) !== source.blake3)) throw error;
    }
  }

  /** Returns the caller's own bases by their digests. */
  async #hints({ base = [], signal }: HubPushPlanOptions): Promise<Map<string, Blob>> {
    const hints = new Map<string, Blob>();
    for (const file of [base].flat()) {
      const { blake3, blob } = await this.#digest(file, signal);
      hints.set(blake3, blob);
    }
    return hints;
  }

  async #best(bases: HubBase[], hints: Map<string, Blob>) {
    for (const base of bases) {
      const blob = await this.#bytesOf(base, hints);
      if (blob) return { base, blob };
    }
    return undefined;
  }

  async #bytesOf(base: HubBase, hints: Map<string, Blob>): Promise<Blob | CachedFile | undefined> {
    return hints.get(base.blake3) ?? (await this.#hub.cache()).findByDigest(integrityOf(base));
  }
}

/** Returns a key that is the same for the same files under the same name. */
function keyOf(name: string, sources: Source[]): string {
  return JSON.stringify([name, sources.map(({ path, blake3 }) => [path, blake3])]);
}

function pushedFile({ source, verdict, parcel }: Upload['files'][number]): HubPushedFile {
  const { path, length, blake3 } = source;
  const base = parcel?.base;
  return {
    path,
    length,
    blake3,
    known: verdict.known,
    sentBytes: parcel?.blob.size ?? 0,
    ...(base && { base }),
  };
}

function total(tensors: TensorDigest[]): { count: number; bytes: number } {
  return { count: tensors.length, bytes: tensors.reduce((sum, { length }) => sum + length, 0) };
}
