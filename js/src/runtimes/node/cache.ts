/** The cache in Node, whose files have a path. The code is that of browsers; only types differ. */
import {
  type CachedFile as AnyCachedFile,
  ModelCache as AnyModelCache,
  type CacheOptions,
  type FetchOptions,
  type FineTuneOptions,
  loadFineTune as loadAny,
  type PutOptions,
} from '../../cache/index.js';

export * from '../../cache/index.js';

/** A `File` to read or to pass on, with its path and a description of the model. */
export type CachedFile = AnyCachedFile & { readonly path: string };

declare class NodeModelCache extends AnyModelCache {
  static override open(options?: CacheOptions): Promise<NodeModelCache>;
  override fetch(url: string | URL, options?: FetchOptions): Promise<CachedFile>;
  override put(
    url: string | URL,
    source: Blob | ReadableStream<Uint8Array>,
    options?: PutOptions,
  ): Promise<CachedFile>;
  override match(url: string | URL): Promise<CachedFile | undefined>;
  override findByDigest(digest: string): Promise<CachedFile | undefined>;
}

/** Keeps models in a folder, with the methods that it has in browsers. */
export type ModelCache = NodeModelCache;
export const ModelCache = AnyModelCache as typeof NodeModelCache;

/**
 * Returns the fine-tuned model of a delta, as in browsers. It has a path if it is stored.
 */
export const loadFineTune = loadAny as {
  (options: FineTuneOptions & { store: false }): Promise<File>;
  (options: FineTuneOptions): Promise<CachedFile>;
};
