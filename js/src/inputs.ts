import { BitxError, messageOf } from './errors.js';
import type { PortQuestion, Source, Sources, WireFile } from './protocol.js';
import { answer } from './rpc.js';
import { type Report, spool } from './spool.js';
import type { CallOptions, Input, RangeSource } from './types.js';

/** The inputs of a call as the caller gave them. */
export type Inputs = Partial<Record<Source, Input | Input[]>>;

/** Inputs as the worker gets them, and what has to be transferred with them. */
export interface Prepared {
  sources: Sources;
  ports: MessagePort[];
}

/**
 * Makes every input something that the worker can read. What only the page can read is read by it until the signal
 * is aborted.
 */
export async function prepare(
  inputs: Inputs,
  signal: AbortSignal,
  onProgress: CallOptions['onProgress'],
): Promise<Prepared> {
  signal.throwIfAborted();
  const desk = new Desk(signal, (loaded, total) => onProgress?.({ phase: 'download', loaded, total }));
  const entries = Object.entries(inputs) as [Source, Input | Input[]][];
  const files = entries.map(async ([source, input]) => {
    const wired = await Promise.all([input].flat().map((file) => desk.wire(source, file)));
    return [source, wired] as const;
  });
  return { sources: Object.fromEntries(await Promise.all(files)), ports: desk.ports };
}

/** The page's end of the files of one call. */
class Desk {
  readonly ports: MessagePort[] = [];
  readonly #signal: AbortSignal;
  readonly #tally: Tally;

  constructor(signal: AbortSignal, report: Report) {
    this.#signal = signal;
    this.#tally = new Tally(report);
  }

  async wire(source: Source, input: Input): Promise<WireFile> {
    if (input instanceof Blob || isHandle(input)) return input;
    if (input instanceof ArrayBuffer || ArrayBuffer.isView(input)) return new Blob([input as BlobPart]);
    if (typeof input === 'string' || input instanceof URL) {
      const url = new URL(input, document.baseURI).href;
      return { url, port: this.#port(() => this.#download(url)) };
    }
    const file = input instanceof Response ? await this.#spool(input) : input;
    if (typeof file?.read === 'function') return { size: file.size, port: this.#port(async () => file) };
    throw new BitxError('invalid-argument', `${source} is nothing that can be read`, { file: source });
  }

  /** A port on which the worker reads a file that is opened when it is first asked for. */
  #port(open: () => Promise<RangeSource>): MessagePort {
    const { port1, port2 } = new MessageChannel();
    let file: Promise<RangeSource> | undefined;
    port1.onmessage = ({ data }: MessageEvent<PortQuestion>) =>
      void answer(data, async () => {
        file ??= open();
        const opened = await file;
        return 'whole' in data ? opened.size : opened.read(data.offset, data.length, this.#signal);
      });
    this.#signal.addEventListener('abort', () => port1.close(), { once: true });
    this.ports.push(port2);
    return port2;
  }

  async #download(url: string): Promise<RangeSource> {
    const response = await fetch(url, { signal: this.#signal }).catch((cause: unknown) => {
      const message = `${url} could not be fetched: ${messageOf(cause)}`;
      throw new BitxError('network', message, { url, cause });
    });
    return this.#spool(response);
  }

  #spool(response: Response): Promise<RangeSource> {
    return spool(response, this.#signal, this.#tally.add());
  }
}

/** Adds up downloads that run side by side. */
class Tally {
  readonly #transfers: { loaded: number; total: number | undefined }[] = [];
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

function isHandle(input: Input): input is FileSystemFileHandle {
  return typeof FileSystemFileHandle === 'function' && input instanceof FileSystemFileHandle;
}

function plus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b;
}
