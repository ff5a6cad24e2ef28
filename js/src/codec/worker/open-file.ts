import { abortable, ask, onAbort, openUrl } from '../../common/index.js';
import type { PortQuestion, WireFile } from '../protocol.js';
import type { RangeSource } from '../types.js';
import { PrivateFile, readBlob, type Snapshot } from './private-file.js';

type Unasked = PortQuestion extends infer Q ? Omit<Q, 'reply'> : never;

/** A file that is open. */
export interface OpenFile extends RangeSource {
  /** The file, if other workers can open it at the same time. */
  snapshot?: Snapshot | undefined;
}

/** Opens any input as a file that is read by ranges. */
export async function openFile(file: WireFile, signal: AbortSignal): Promise<OpenFile> {
  if (file instanceof Blob) return blobFile(file);
  if ('getFile' in file) return storedFile({ handle: file, file: await file.getFile() }, signal);
  if ('handle' in file) return storedFile(file, signal);
  const { port } = file;
  onAbort(signal, () => port.close());
  const whole = (size: number) => pageFile(size, port, signal);
  if ('size' in file) return whole(file.size);
  return (await openUrl(file.url, signal)) ?? whole(await asked<number>(port, { whole: true }, signal));
}

/** Returns a file on the disk, which is read in place if it is a private one. */
async function storedFile(snapshot: Snapshot, signal: AbortSignal): Promise<OpenFile> {
  const stored = new PrivateFile(snapshot);
  onAbort(signal, () => void stored.close());
  const access = await stored.open();
  return {
    size: snapshot.file.size,
    // In browsers without modes, a file is open in one worker.
    snapshot: access?.mode && snapshot,
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      return bytes.subarray(0, await stored.read(offset, length, () => bytes));
    },
  };
}

function blobFile(blob: Blob): OpenFile {
  return { size: blob.size, read: (offset, length) => readBlob(blob, offset, length) };
}

/** Returns a file that the page reads. */
function pageFile(size: number, port: MessagePort, signal: AbortSignal): OpenFile {
  return { size, read: (offset, length) => asked<Uint8Array>(port, { offset, length }, signal) };
}

/** Asks the page. The signal ends the wait, since the page may never answer. */
function asked<T>(port: MessagePort, question: Unasked, signal: AbortSignal): Promise<T> {
  return abortable(signal, ask<T>(port, question));
}
