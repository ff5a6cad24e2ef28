import { BitxError } from 'bitx-wasm';

/** Downloads a file of the page's own, and reports the bytes that have arrived. */
export async function download(
  url: string,
  signal: AbortSignal,
  arrived: (bytes: number) => void,
): Promise<Blob> {
  const response = await fetch(url, { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw new BitxError('network', `${url}: ${error instanceof Error ? error.message : error}`, { url });
  });
  if (!response.ok || !response.body) {
    const { status } = response;
    throw new BitxError('network', `${url} was answered with status ${status}`, { url, status });
  }
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(part, controller) {
      arrived(part.length);
      controller.enqueue(part);
    },
  });
  return new Response(response.body.pipeThrough(count)).blob();
}
