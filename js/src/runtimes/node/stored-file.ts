/// <reference types="node" />
import { open } from 'node:fs/promises';
import { named } from './exceptions.js';

/** The number of bytes of one part of a stream. */
const PART = 1 << 20;

interface Place {
  path: string;
  start?: number;
  size: number;
  type?: string;
}

/**
 * A file of the model cache, or a slice of one, with the methods of a `File`. It is not a `File` of
 * Node, because those on disk cannot be sent to threads. It is read on demand and can be used like
 * any other input.
 */
export class StoredFile implements File {
  /** The path of the file. */
  readonly path: string;
  readonly size: number;
  readonly type: string;
  readonly name = 'data';
  readonly lastModified = 0;
  readonly webkitRelativePath = '';
  readonly #start: number;

  constructor({ path, start = 0, size, type = '' }: Place) {
    this.path = path;
    this.size = size;
    this.type = type;
    this.#start = start;
  }

  /** Returns the bytes from `offset` on; fewer at the end. */
  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    const file = await named(open(this.path));
    try {
      let at = 0;
      while (at < bytes.length) {
        const { bytesRead } = await file.read(bytes, at, bytes.length - at, this.#start + offset + at);
        if (bytesRead === 0) break;
        at += bytesRead;
      }
      return bytes.subarray(0, at);
    } finally {
      await file.close();
    }
  }

  slice(start = 0, end: number = this.size, type = ''): StoredFile {
    const from = this.#within(start);
    const size = Math.max(0, this.#within(end) - from);
    return new StoredFile({ path: this.path, start: this.#start + from, size, type });
  }

  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.read(0, this.size);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).slice().buffer;
  }

  async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }

  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    let at = 0;
    return new ReadableStream({
      pull: async (controller) => {
        const bytes = await this.read(at, PART);
        at += bytes.length;
        if (bytes.length > 0) controller.enqueue(bytes);
        else controller.close();
      },
    });
  }

  /** Converts a position of `slice`, which counts from the end if it is negative. */
  #within(position: number): number {
    return position < 0 ? Math.max(0, this.size + position) : Math.min(position, this.size);
  }
}
