import { BitxError } from 'bitx-wasm';

/** A file at an address, of which ranges are fetched. */
export interface RemoteFile {
  url: string;
  size: number;
}

/** Asks a server for the size of a file, and whether it sends ranges. */
export async function remoteFile(url: string, signal: AbortSignal): Promise<RemoteFile> {
  const answer = await fetchRange(url, 0, 1, signal);
  const size = Number(/\/(\d+)$/.exec(answer.headers.get('content-range') ?? '')?.[1] ?? Number.NaN);
  await answer.body?.cancel();
  if (Number.isNaN(size)) throw rangeless(url);
  return { url, size };
}

/** Fetches the bytes of a file from `from` to before `end`. */
export async function fetchBytes(
  { url, size }: RemoteFile,
  from: number,
  end: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const last = Math.min(end, size);
  const bytes = new Uint8Array(await (await fetchRange(url, from, last)).arrayBuffer());
  if (bytes.length !== last - from) throw rangeless(url);
  return bytes;
}

async function fetchRange(url: string, from: number, end: number, signal?: AbortSignal): Promise<Response> {
  const options = { headers: { range: `bytes=${from}-${end - 1}` }, ...(signal && { signal }) };
  const answer = await fetch(url, options).catch((cause: unknown) => {
    signal?.throwIfAborted();
    throw new BitxError('network', `${url} cannot be reached: ${cause}`, { url });
  });
  if (answer.status === 206) return answer;
  const { status } = answer;
  await answer.body?.cancel();
  if (status === 200) throw rangeless(url);
  throw new BitxError('network', `${url} answered with status ${status}`, { url, status });
}

function rangeless(url: string): BitxError {
  return new BitxError('network', `${url} is not sent by ranges, which a comparison needs`, { url });
}
