import { BitxError, type Bytes } from '../../common/index.js';
import { type Digests, fits, type Integrity, requiredDigest } from '../integrity.js';
import type { FetchArgs, Found, PutArgs, Settings } from '../messages.js';
import type { CacheProgress, ModelStat, Verdict } from '../types.js';
import { Catalog, foundIn } from './catalog.js';
import { download, finish } from './download.js';
import { digestOf, FileHash } from './hashes.js';
import { locked } from './locks.js';
import { Meter } from './meter.js';
import { chunkLength, demoted, type Manifest, storedBytes } from './records.js';
import { checkQuota, storageError } from './storage-errors.js';
import type { Entry, Store } from './stores/store.js';
import { partsOf, storeStream } from './stream.js';
import { demote, findBadChunks } from './verify.js';

/** The context of a call besides its arguments. */
export interface CallContext {
  signal: AbortSignal;
  report(progress: CacheProgress): void;
  /** Asks the page for another URL. */
  refresh(url: string, status: number): Promise<string>;
  /** Returns the parts of the stream that the page sends. */
  parts(): AsyncIterable<Bytes>;
}

/** The progress of a download, sent to the tabs that wait for it. */
interface News {
  key: string;
  progress: CacheProgress;
}

/** The operations of one cache. */
export class Service {
  readonly #store: Store;
  readonly #catalog: Catalog;
  readonly #settings: Settings;
  readonly #news: BroadcastChannel;
  readonly #waiting = new Set<(news: News) => void>();

  constructor(store: Store, settings: Settings) {
    this.#store = store;
    this.#catalog = new Catalog(store);
    this.#settings = settings;
    this.#news = new BroadcastChannel(`bitx-wasm/${store.kind}/${settings.name}`);
    this.#news.onmessage = ({ data }: MessageEvent<News>) => {
      for (const listener of this.#waiting) listener(data);
    };
  }

  /** Stops listening to other tabs. */
  close(): void {
    this.#news.close();
  }

  async fetch(args: FetchArgs, context: CallContext): Promise<Found> {
    const { url } = args;
    const integrity = integrityOf(args);
    const key = await keyOf(url);
    const held = async () =>
      (await this.#catalog.whole(key, integrity)) ?? (integrity && this.#catalog.withDigest(integrity));
    const found = await held();
    if (found) return found;
    const stopListening = this.#listen(key, context);
    const names = integrity ? [integrity.hex, key] : [key];
    return this.#exclusively(names, context.signal, async () => {
      stopListening();
      return (await held()) ?? this.#download(key, args, integrity, context);
    }).finally(stopListening);
  }

  async match({ url }: { url: string }): Promise<Found | undefined> {
    return this.#catalog.whole(await keyOf(url));
  }

  async find({ digest }: { digest: string }): Promise<Found | undefined> {
    return this.#catalog.withDigest(requiredDigest(digest));
  }

  async stat({ url }: { url: string }): Promise<ModelStat | undefined> {
    return this.#catalog.stat(await keyOf(url));
  }

  async list(): Promise<ModelStat[]> {
    return this.#catalog.list();
  }

  async delete({ url }: { url: string }, { signal }: CallContext): Promise<boolean> {
    const key = await keyOf(url);
    return this.#exclusively([key], signal, async () => {
      const there = (await this.#store.keys()).includes(key);
      if (there) await this.#store.remove(key);
      return there;
    });
  }

  async put(args: PutArgs, context: CallContext): Promise<Found> {
    const { url, blob, labels } = args;
    const size = blob?.size ?? args.size;
    const integrity = integrityOf(args);
    const key = await keyOf(url);
    const validator = { etag: undefined, modified: undefined };
    const { chunkSize } = this.#settings;
    const meta = { url, chunkSize, size, ranged: false, validator, labels };
    const meter = new Meter('store', context.report);
    return this.#exclusively([key], context.signal, () =>
      this.#writing(key, size, async (entry) => {
        try {
          await entry.clear();
          if (size !== undefined) await checkQuota(size);
          await entry.begin(meta);
          const sealed = await storeStream(entry, meta, context.parts(), meter);
          if (sealed.size !== (size ?? sealed.size)) throw otherSize(url, size, sealed.size);
          return await finish({ entry, integrity }, meta, sealed);
        } catch (error) {
          // The rest of a stream cannot be requested later.
          await entry.clear();
          throw error;
        }
      }),
    );
  }

  /** Computes the digests of a file that is not stored. */
  async digest({ blob }: { blob: Blob }, { signal }: CallContext): Promise<Digests> {
    const hash = await FileHash.create();
    for await (const bytes of partsOf(blob, signal)) hash.update(bytes);
    return hash.digests();
  }

  async verify({ url }: { url: string }, { signal, report }: CallContext): Promise<Verdict> {
    const key = await keyOf(url);
    return this.#exclusively([key], signal, async () => {
      const manifest = await this.#store.manifest(key);
      if (!manifest) throw new BitxError('invalid-argument', `${url} is not in the cache`, { url });
      const meter = new Meter('verify', report);
      const bad = await findBadChunks(this.#store, key, manifest, signal, meter);
      if (bad.length > 0) await demote(this.#store, key, manifest, bad);
      const place = (index: number) => ({
        offset: index * manifest.chunkSize,
        length: chunkLength(index, manifest),
      });
      return { ok: bad.length === 0, badChunks: bad.map(place) };
    });
  }

  async #download(
    key: string,
    { url, headers, refreshes }: FetchArgs,
    integrity: Integrity | undefined,
    { signal, report, refresh }: CallContext,
  ): Promise<Found> {
    const manifest = await this.#store.manifest(key);
    // There is a manifest but no valid file: chunks that are still right need not be fetched.
    const damaged = manifest && (!integrity || fits(manifest, integrity)) ? demoted(manifest) : undefined;
    const meter = new Meter('download', (progress) => {
      report(progress);
      this.#news.postMessage({ key, progress } satisfies News);
    });
    return this.#writing(key, undefined, async (entry) => {
      if (damaged) await entry.begin(damaged.meta, damaged.chunks);
      const { reserves } = this.#store;
      const job = { entry, integrity, settings: this.#settings, reserves, meter, signal };
      return download({ ...job, remote: { url, headers }, refresh: refreshes ? refresh : undefined });
    });
  }

  /** Opens an entry, runs `write` on it, and returns the resulting file. */
  async #writing(
    key: string,
    size: number | undefined,
    write: (entry: Entry) => Promise<Manifest>,
  ): Promise<Found> {
    const entry = await this.#store.open(key);
    let manifest: Manifest;
    try {
      manifest = await write(entry);
    } catch (error) {
      const { meta, chunks } = entry.record ?? {};
      const stored = meta && chunks ? storedBytes({ meta, chunks }) : 0;
      throw await storageError(error, Math.max(0, (meta?.size ?? size ?? 0) - stored));
    } finally {
      await entry.close();
    }
    const found = await foundIn(this.#store, key, manifest);
    if (!found) throw new BitxError('io', `${manifest.url} was stored but has disappeared`);
    return found;
  }

  #exclusively<T>(names: string[], signal: AbortSignal, action: () => Promise<T>): Promise<T> {
    const prefix = `bitx-wasm/${this.#store.kind}/${this.#settings.name}/`;
    return locked(
      names.map((name) => prefix + name),
      signal,
      action,
    );
  }

  /** Reports the progress of a download in another tab, until the returned function is called. */
  #listen(key: string, { report }: CallContext): () => void {
    const listener = (news: News) => {
      if (news.key === key) report(news.progress);
    };
    this.#waiting.add(listener);
    return () => void this.#waiting.delete(listener);
  }
}

function integrityOf({ integrity }: { integrity: string | undefined }): Integrity | undefined {
  return integrity === undefined ? undefined : requiredDigest(integrity);
}

/** Returns the key of a URL, which every store accepts as a name. */
async function keyOf(url: string): Promise<string> {
  return (await digestOf(new TextEncoder().encode(url))).slice(0, 32);
}

function otherSize(url: string, expected: number | undefined, found: number): BitxError {
  const message = `${url} has ${found} bytes instead of ${expected}`;
  return new BitxError('truncated', message, { url, expected: expected ?? 0, found });
}
