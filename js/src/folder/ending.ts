import type { Output } from '../codec/types.js';

/** An output of which the end is kept: an archive ends with its root digest. */
export class Ending {
  /** The length of a root digest in bytes. */
  static readonly LENGTH = 32;

  /** The option of the call that writes the output. */
  readonly output: { output?: Output };
  #last: Uint8Array | undefined;

  constructor(output: Output | undefined) {
    this.output = output ? { output: output instanceof WritableStream ? this.#kept(output) : output } : {};
  }

  /** Returns the root digest in hex; `end` reads it from an output that is no stream. */
  async root(end: () => Promise<Blob | undefined>): Promise<string> {
    const last = this.#last ?? new Uint8Array(await ((await end()) as Blob).arrayBuffer());
    return Array.from(last, (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  #kept(output: WritableStream<Uint8Array>): WritableStream<Uint8Array> {
    const writer = output.getWriter();
    this.#last = new Uint8Array();
    return new WritableStream({
      write: (bytes) => {
        const ends = [this.#last as Uint8Array, bytes.slice(-Ending.LENGTH)];
        this.#last = new Uint8Array(ends.flatMap((end) => [...end]).slice(-Ending.LENGTH));
        return writer.write(bytes);
      },
      close: () => writer.close(),
      abort: (reason) => writer.abort(reason),
    });
  }
}
