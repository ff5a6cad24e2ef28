import { abortable, ask, onAbort, openUrl } from '../../common/index.js';
import type { PortQuestion, WireFile } from '../protocol.js';
import type { RangeSource } from '../types.js';

type Unasked = PortQuestion extends infer Q ? Omit<Q, 'reply'> : never;

/** Opens any input as a file that is read by ranges. */
export async function openFile(file: WireFile, signal: AbortSignal): Promise<RangeSource> {
  if (file instanceof Blob) return blobFile(file);
  if (!('port' in file)) return blobFile(await file.getFile());
  const { port } = file;
  onAbort(signal, () => port.close());
  const whole = (size: number) => pageFile(size, port, signal);
  if ('size' in file) return whole(file.size);
  return (await openUrl(file.url, signal)) ?? whole(await asked<number>(port, { whole: true }, signal));
}

function blobFile(blob: Blob): RangeSource {
  const read = async (offset: number, length: number) =>
    new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
  return { size: blob.size, read };
}

/** Returns a file that the page reads. */
function pageFile(size: number, port: MessagePort, signal: AbortSignal): RangeSource {
  return { size, read: (offset, length) => asked<Uint8Array>(port, { offset, length }, signal) };
}

/** Asks the page. The signal ends the wait, since the page may never answer. */
function asked<T>(port: MessagePort, question: Unasked, signal: AbortSignal): Promise<T> {
  return abortable(signal, ask<T>(port, question));
}
