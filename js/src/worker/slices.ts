/**
 * Reads parts of files in a worker of its own: a browser delivers them through the thread that asked, and the host's
 * is busy computing.
 */
export interface ReadMessage {
  type: 'read';
  id: number;
  slice: Blob;
}

type Reply = { type: 'loaded' } | { id: number; bytes: ArrayBuffer } | { id: number; error: unknown };

let reader: Worker | undefined;
let nextId = 0;
const pending = new Map<number, PromiseWithResolvers<ArrayBuffer>>();

/** Starts the worker. Where it does not come to life, the host goes on reading by itself. */
export function startReader(): void {
  const worker = new Worker(self.location.href, { type: 'module' });
  worker.onmessage = ({ data }: MessageEvent<Reply>) => {
    if ('type' in data) {
      reader = worker;
      return;
    }
    const { resolve, reject } = pending.get(data.id) as PromiseWithResolvers<ArrayBuffer>;
    pending.delete(data.id);
    if ('bytes' in data) resolve(data.bytes);
    else reject(data.error);
  };
}

/** The bytes of a part of a file. */
export function bytesOf(slice: Blob): Promise<ArrayBuffer> {
  if (!reader) return slice.arrayBuffer();
  const id = nextId++;
  const read = Promise.withResolvers<ArrayBuffer>();
  pending.set(id, read);
  reader.postMessage({ type: 'read', id, slice } satisfies ReadMessage);
  return read.promise;
}

/** What the worker does with a message. */
export async function answerRead({ id, slice }: ReadMessage): Promise<void> {
  try {
    const bytes = await slice.arrayBuffer();
    self.postMessage({ id, bytes } satisfies Reply, { transfer: [bytes] });
  } catch (error) {
    self.postMessage({ id, error } satisfies Reply);
  }
}
