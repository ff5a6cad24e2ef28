/** The servers' answers that tests of several runtimes share. */
import { createReadStream } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from '../../scripts/lib/paths.mjs';

/** Returns the mount of a file in memory. */
export const served = (content) => (_, response) =>
  response.writeHead(200, { 'content-length': content.length }).end(content);

/** The mount of onnxruntime-web's own files. */
export function onnxRuntime(request, response) {
  const name = basename(new URL(request.url, 'http://localhost').pathname);
  const type = name.endsWith('.wasm') ? 'application/wasm' : 'text/javascript';
  response.writeHead(200, { 'content-type': type });
  createReadStream(join(root, 'node_modules/onnxruntime-web/dist', name)).pipe(response);
}
