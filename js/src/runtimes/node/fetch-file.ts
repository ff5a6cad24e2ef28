/// <reference types="node" />
import { type FileHandle, open } from 'node:fs/promises';

/**
 * Answers a request for a file, like a web server that supports ranges. A file that cannot be read
 * is an error of the file system, with its code.
 */
export async function fetchFile(url: URL, init?: RequestInit): Promise<Response> {
  const file = await open(url);
  try {
    return await respond(file, new Headers(init?.headers).get('range'));
  } finally {
    await file.close();
  }
}

async function respond(file: FileHandle, range: string | null): Promise<Response> {
  const { size, mtimeMs } = await file.stat();
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  const start = Number(first ?? 0);
  const end = Math.min(size, last === undefined ? size : Number(last) + 1);
  if (range && start >= size) {
    return new Response(null, { status: 416, headers: { 'content-range': `bytes */${size}` } });
  }
  const bytes = new Uint8Array(end - start);
  const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
  const headers = {
    'content-length': String(bytes.length),
    etag: `"${size}-${mtimeMs}"`,
    ...(range && { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  };
  return new Response(bytes.subarray(0, bytesRead), { status: range ? 206 : 200, headers });
}
