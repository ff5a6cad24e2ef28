import { collect, download, type Report } from './download.js';
import { BitxError } from './errors.js';
import type { Source, Sources } from './protocol.js';
import type { CallOptions, Input } from './types.js';

/** The inputs of a call as the caller gave them. */
export type Inputs = Partial<Record<Source, Input | Input[]>>;

/** Makes every input a Blob; those that travel are fetched side by side. */
export async function prepare(
  inputs: Inputs,
  signal: AbortSignal,
  onProgress: CallOptions['onProgress'],
): Promise<Sources> {
  signal.throwIfAborted();
  const failed = new AbortController();
  const stop = AbortSignal.any([signal, failed.signal]);
  const tally = new Tally((loaded, total) => onProgress?.({ phase: 'download', loaded, total }));
  const toBlobs = (source: Source, input: Input | Input[]) =>
    Promise.all([input].flat().map((file) => toBlob(source, file, stop, tally)));
  const entries = Object.entries(inputs) as [Source, Input | Input[]][];
  try {
    return Object.fromEntries(
      await Promise.all(
        entries.map(async ([source, input]) => [source, await toBlobs(source, input)] as const),
      ),
    );
  } catch (error) {
    // One download has failed: there is no use for the others.
    failed.abort();
    throw error;
  }
}

async function toBlob(source: Source, input: Input, signal: AbortSignal, tally: Tally): Promise<Blob> {
  if (input instanceof Blob) return input;
  if (input instanceof ArrayBuffer || ArrayBuffer.isView(input)) return new Blob([input as BlobPart]);
  if (input instanceof Response) return collect(input, signal, tally.add());
  if (typeof input === 'string' || input instanceof URL) {
    return download(new URL(input, document.baseURI).href, signal, tally.add());
  }
  throw new BitxError('invalid-argument', `${source} is not a URL, Response, Blob or buffer`, {
    file: source,
  });
}

/** Adds up downloads that run side by side. */
class Tally {
  #transfers: { loaded: number; total: number | undefined }[] = [];
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  add(): Report {
    const transfer: { loaded: number; total: number | undefined } = { loaded: 0, total: undefined };
    this.#transfers.push(transfer);
    return (loaded, total) => {
      Object.assign(transfer, { loaded, total });
      this.#report(
        this.#transfers.reduce((sum, { loaded }) => sum + loaded, 0),
        this.#transfers.reduce<number | undefined>((sum, { total }) => plus(sum, total), 0),
      );
    };
  }
}

function plus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b;
}
