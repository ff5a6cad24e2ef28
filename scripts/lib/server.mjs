import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/**
 * The headers of a cross-origin isolated page, which browsers require for memory that threads
 * share.
 */
const ISOLATION = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

/**
 * Serves folders and files on 127.0.0.1, and resolves to the server and its address.
 *
 * `mounts` maps the beginning of a path to a folder, a file, or a function that answers the
 * request.
 */
export async function serve({ mounts, isolated = true, port = 0 }) {
  const server = createServer(async (request, response) => {
    if (isolated) for (const [name, value] of Object.entries(ISOLATION)) response.setHeader(name, value);
    response.setHeader('cache-control', 'no-store');
    try {
      await answer(mounts, request, response);
    } catch {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('not found');
    }
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return { server, address: `http://127.0.0.1:${server.address().port}/` };
}

async function answer(mounts, request, response) {
  const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
  const prefix = Object.keys(mounts)
    .sort((a, b) => b.length - a.length)
    .find((start) => path.startsWith(start));
  const mount = mounts[prefix];
  if (typeof mount === 'function') return mount(request, response);
  await sendFile(await fileAt(mount, path.slice(prefix.length)), request, response);
}

async function fileAt(mount, rest) {
  if ((await stat(mount)).isFile()) return mount;
  const path = join(mount, rest);
  if (path !== mount && !path.startsWith(mount.endsWith(sep) ? mount : mount + sep))
    throw new Error(`${rest} is outside of ${mount}`);
  return (await stat(path)).isDirectory() ? join(path, 'index.html') : path;
}

async function sendFile(file, request, response) {
  const { size, mtimeMs } = await stat(file);
  const type = TYPES[extname(file)] ?? 'application/octet-stream';
  const range = rangeOf(request.headers.range, size);
  if (range && range.start >= size) {
    return response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
  }
  const { start, end } = range ?? { start: 0, end: size };
  response.writeHead(range ? 206 : 200, {
    'content-type': type,
    'content-length': end - start,
    'accept-ranges': 'bytes',
    etag: `"${size}-${mtimeMs}"`,
    ...(range && { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  });
  if (request.method === 'HEAD' || start === end) response.end();
  else createReadStream(file, { start, end: end - 1 }).pipe(response);
}

/** Returns the range of bytes that a `Range` header asks for; undefined for no range or several. */
export function rangeOf(header, size) {
  const [, start, last] = /^bytes=(\d+)-(\d*)$/.exec(header ?? '') ?? [];
  if (start === undefined) return undefined;
  return { start: Number(start), end: Math.min(size, last ? Number(last) + 1 : size) };
}
