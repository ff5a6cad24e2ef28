/** The worker script of the cache: takes messages, and runs what they ask for side by side. */
import { abortError, toWire } from '../../errors.js';
import type { FromWorker, PutArgs, ToWorker } from '../messages.js';
import { type CallContext, Service } from './service.js';
import { chooseStore } from './stores/choose.js';
import type { Bytes } from './stores/store.js';

/** A call that is under way. */
interface Call {
  abort: AbortController;
  part: PromiseWithResolvers<Bytes | undefined>;
  address: PromiseWithResolvers<string>;
}

const calls = new Map<number, Call>();
let service: Service | undefined;

self.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  if (data.type === 'open') void open(data);
  else if (data.type === 'call') void run(data);
  else if (data.type === 'abort') calls.get(data.id)?.abort.abort();
  else if (data.type === 'part') calls.get(data.id)?.part.resolve(data.bytes);
  else calls.get(data.id)?.address.resolve(data.url);
});
send({ type: 'loaded' });

async function open({ settings }: ToWorker & { type: 'open' }): Promise<void> {
  try {
    const store = await chooseStore(settings.name, settings.backend);
    service = new Service(store, settings);
    send({ type: 'opened', backend: store.kind });
  } catch (error) {
    send({ type: 'error', id: undefined, error: toWire(error) });
  }
}

async function run({ id, operation, args }: ToWorker & { type: 'call' }): Promise<void> {
  const abort = new AbortController();
  const call: Call = { abort, part: Promise.withResolvers(), address: Promise.withResolvers() };
  calls.set(id, call);
  try {
    const blob = operation === 'put' ? (args as PutArgs).blob : undefined;
    const perform = service?.[operation].bind(service) as (args: unknown, context: CallContext) => unknown;
    send({ type: 'done', id, result: await perform(args, contextOf(id, call, blob)) });
  } catch (error) {
    send({ type: 'error', id, error: toWire(abort.signal.aborted ? abortError(abort.signal) : error) });
  } finally {
    calls.delete(id);
  }
}

function contextOf(id: number, call: Call, blob: Blob | undefined): CallContext {
  return {
    signal: call.abort.signal,
    report: (progress) => send({ type: 'progress', id, progress }),
    refresh: (url, status) => {
      call.address = Promise.withResolvers();
      send({ type: 'refused', id, url, status });
      return abortable(call.address.promise, call.abort.signal);
    },
    parts: () => (blob ? read(blob, call.abort.signal) : pull(id, call)),
  };
}

async function* read(blob: Blob, signal: AbortSignal): AsyncGenerator<Bytes, void> {
  const reader = blob.stream().getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (signal.aborted) throw abortError(signal);
    yield part.value;
  }
}

/** Asks the page for one part after another. */
async function* pull(id: number, call: Call): AsyncGenerator<Bytes, void> {
  for (;;) {
    call.part = Promise.withResolvers();
    send({ type: 'pull', id });
    const bytes = await abortable(call.part.promise, call.abort.signal);
    if (!bytes) return;
    yield bytes;
  }
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(abortError(signal));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort);
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener('abort', abort));
}

function send(message: FromWorker): void {
  self.postMessage(message);
}
