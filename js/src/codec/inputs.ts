import { absolute, answer, BitxError, fetchWhole, onAbort, type Report, spool } from '../common/index.js';
import type { PortQuestion, Source, Sources, WireFile } from './protocol.js';
import type { CallOptions, Input, RangeSource } from './types.js';

/** The inputs of a call as the caller gave them. */
export type Inputs = Partial<Record<Source, Input | Input[]>>;

/** The inputs in the form that the worker gets, and the ports to transfer with them. */
export interface Prepared {
  sources: Sources;
  ports: MessagePort[];
}

/**
 * Converts every input to something that the worker can read. Inputs that only the page can read
 * are read by the page, until the signal is aborted.
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
    const spooled = (file: Input) => (file instanceof Response ? desk.spool(file) : file);
    const several = Array.isArray(input) && SEVERAL.includes(source);
    const files = await Promise.all((several ? input : [input as Input]).map(spooled));
    // Keep the spooled file: a call may be restarted, and a response can be read only once.
    inputs[source] = several ? files : (files[0] as Input);
    return [source, files.map((file) => desk.wire(source, file))] as const;
  });
  return { sources: Object.fromEntries(await Promise.all(files)), ports: desk.ports };
}

/** The sources that may be several files. */
const SEVERAL: Source[] = ['base', 'graph', 'adapter', 'config'];

/** Returns the name of a file without its folder, in one line; empty if it has none. */
export function nameOf(input: Input): string {
  const own: unknown = (input as { name?: unknown } | undefined)?.name;
  const name = typeof own === 'string' ? own : isAddress(input) ? lastOf(absolute(input)) : '';
  return name.replace(/[\r\n]/g, '');
}

function lastOf(address: string): string {
  const name = new URL(address).pathname.replace(/.*\//, '');
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** Returns the error of a call, which names the address of the file at fault if there is one. */
export function located(error: unknown, inputs: Inputs): unknown {
  if (!(error instanceof BitxError) || error.url || error.code === 'invalid-argument') return error;
  const addresses = [inputs[error.file as Source]].flat().filter(isAddress).map(absolute);
  if (addresses.length === 0) return error;
  const figures = { ...error, url: addresses[0] as string, cause: error.cause };
  return new BitxError(error.code, `${addresses.join(' or ')}: ${error.message}`, figures);
}

function isAddress(input: unknown): input is string | URL {
  return typeof input === 'string' || input instanceof URL;
}

/** Serves the files of one call that only the page can read. */
class Desk {
  readonly ports: MessagePort[] = [];
  readonly #signal: AbortSignal;
  readonly #report: Report;
  readonly #downloads: { loaded: number; total: number | undefined }[] = [];

  constructor(signal: AbortSignal, report: Report) {
    this.#signal = signal;
    this.#report = report;
  }

  wire(source: Source, input: Input): WireFile {
    if (isHandle(input)) return input;
    if (input instanceof Blob) {
      // Files of the model cache have one.
      const { handle } = input as { handle?: unknown };
      return isHandle(handle) ? { file: input as File, handle } : input;
    }
    if (input instanceof ArrayBuffer || ArrayBuffer.isView(input)) return new Blob([input as BlobPart]);
    if (isAddress(input)) {
      const url = absolute(input);
      return { url, port: this.#port(() => this.#download(url)) };
    }
    const file = input as RangeSource;
    if (typeof file?.read === 'function') return { size: file.size, port: this.#port(async () => file) };
    const missing = input === undefined ? ' is missing: it' : '';
    throw new BitxError(
      'invalid-argument',
      `${source}${missing} must be a URL, Response, Blob, file handle, buffer or RangeSource`,
      { file: source },
    );
  }

  /** Returns a port on which the worker reads a file. The file is opened at the first request. */
  #port(open: () => Promise<RangeSource>): MessagePort {
    const { port1, port2 } = new MessageChannel();
    let file: Promise<RangeSource> | undefined;
    port1.onmessage = ({ data }: MessageEvent<PortQuestion>) =>
      void answer(data, async () => {
        file ??= open();
        const opened = await file;
        return 'whole' in data ? opened.size : opened.read(data.offset, data.length, this.#signal);
      });
    onAbort(this.#signal, () => port1.close());
    this.ports.push(port2);
    return port2;
  }

  /** Fetches a file from a server without ranges. */
  async #download(url: string): Promise<RangeSource> {
    return this.spool(await fetchWhole(url, this.#signal));
  }

  spool(response: Response): Promise<RangeSource> {
    const index = this.#downloads.push({ loaded: 0, total: undefined }) - 1;
    return spool(response, this.#signal, (loaded, total) => {
      this.#downloads[index] = { loaded, total };
      this.#tell();
    });
  }

  /** Reports the sum of all downloads, which run concurrently. */
  #tell(): void {
    const total = this.#downloads.reduce((sum, { total = Number.NaN }) => sum + total, 0);
    const loaded = this.#downloads.reduce((sum, { loaded }) => sum + loaded, 0);
    this.#report(loaded, Number.isNaN(total) ? undefined : total);
  }
}

/** Returns `true` for a file handle. Some browsers lack the type. */
export function isHandle(input: unknown): input is FileSystemFileHandle {
  return typeof FileSystemFileHandle === 'function' && input instanceof FileSystemFileHandle;
}
