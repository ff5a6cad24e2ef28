import type { Source, Sources, WireFile } from '../protocol.js';
import type { Io } from './io.js';
import type { Snapshot } from './private-file.js';

/** A range of one file. `file` is its index in the source; only base and graph may have several. */
export interface Read {
  source: Source;
  file: number;
  offset: number;
  length: number;
}

/** Reads a range of a call's inputs, into a buffer that then belongs to the caller. */
export type ReadRange = (read: Read) => Promise<Uint8Array>;

interface OpenFile {
  key: number;
  size: number;
  /** The file, if other workers can open it as well. */
  snapshot: Snapshot | undefined;
}

/** A length in bytes that neither a manifest nor an adapter's configuration may have. */
const TOO_LONG = (64 << 20) + 1;

let nextKey = 0;

/** The inputs of one call. */
export class Files {
  readonly #io: Io;
  readonly #keys: number[] = [];
  readonly #files: Partial<Record<Source, OpenFile[]>> = {};

  constructor(io: Io) {
    this.#io = io;
  }

  async open(sources: Sources): Promise<void> {
    const entries = Object.entries(sources) as [Source, NonNullable<Sources[Source]>][];
    await Promise.all(
      entries.map(async ([source, files]) => {
        this.#files[source] = await Promise.all(files.map((file) => this.#open(source, file)));
      }),
    );
  }

  sizes(source: Source): number[] {
    return (this.#files[source] ?? []).map(({ size }) => size);
  }

  /** Returns the files of a source, each undefined unless other workers can open it. */
  snapshots(source: Source): (Snapshot | undefined)[] {
    return (this.#files[source] ?? []).map(({ snapshot }) => snapshot);
  }

  /** Reads a range. The core has already merged ranges that are close together. */
  async read({ source, file, offset, length }: Read): Promise<Uint8Array> {
    // The core takes adapters for the files behind the last of the base.
    const opened = this.#files[source]?.[file] ?? this.#files.adapter?.[file - this.sizes('base').length];
    return this.#io.read((opened as OpenFile).key, offset, length);
  }

  /** Reads a short file: no more of it than makes the core refuse it. */
  start(source: Source, file = 0): Promise<Uint8Array> {
    const { [file]: size = 0 } = this.sizes(source);
    return this.read({ source, file, offset: 0, length: Math.min(size, TOO_LONG) });
  }

  /** Closes the files and ends all reads, even those that would wait forever. */
  async close(): Promise<void> {
    await this.#io.close(this.#keys);
  }

  async #open(source: Source, file: WireFile): Promise<OpenFile> {
    const key = nextKey++;
    this.#keys.push(key);
    const [size, snapshot] = await this.#io.open(key, source, file);
    return { key, size, snapshot };
  }
}
