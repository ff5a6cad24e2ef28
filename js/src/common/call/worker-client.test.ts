import { expect, test, vi } from 'vitest';
import { BitxError, toWire } from '../errors.js';
import { type Peer, WorkerClient } from './worker-client.js';

interface Operations {
  double: { args: number; result: number };
}

class Client extends WorkerClient<Operations, number, string> {
  constructor(peer: Peer) {
    super({ name: "test's worker", settings: { setting: 1 }, peer });
  }
}

interface Sent {
  type: string;
  id?: number;
  [key: string]: unknown;
}

/** A fake worker: the test sends its messages and sees those that it gets. */
function fakePeer() {
  const sent: Sent[] = [];
  const peer: Peer = {
    onmessage: null,
    onerror: null,
    postMessage: (message) => void sent.push(message as Sent),
    terminate: vi.fn(),
  };
  const say = (data: unknown) => peer.onmessage?.({ data } as MessageEvent);
  const open = () => {
    say({ type: 'loaded' });
    say({ type: 'opened', opened: 'ready' });
  };
  return { peer, sent, say, open };
}

test('it waits for the script, sends the settings, and learns what was opened', async () => {
  const { peer, sent, say } = fakePeer();
  const client = new Client(peer);
  expect(sent).toEqual([]);
  say({ type: 'loaded' });
  expect(sent).toEqual([{ type: 'open', settings: { setting: 1 } }]);
  say({ type: 'opened', opened: 'ready' });
  expect(await client.opened).toBe('ready');
  client.end(new BitxError('disposed', 'over'));
});

test('answers find their calls, whatever their order', async () => {
  const { peer, say, open } = fakePeer();
  const client = new Client(peer);
  open();
  const onProgress = vi.fn();
  const [first, second] = [client.call('double', 1, { onProgress }), client.call('double', 2)];
  say({ type: 'progress', id: 0, progress: 50 });
  say({ type: 'done', id: 1, result: 4 });
  say({ type: 'done', id: 0, result: 2 });
  expect(await Promise.all([first, second])).toEqual([2, 4]);
  expect(onProgress.mock.calls).toEqual([[50]]);
});

test('an abort is sent on while the call lasts, and never after it', async () => {
  const { peer, sent, say, open } = fakePeer();
  const client = new Client(peer);
  open();
  const controller = new AbortController();
  const { signal } = controller;
  const over = client.call('double', 1, { signal });
  say({ type: 'done', id: 0, result: 2 });
  await over;
  const call = client.call('double', 2, { signal });
  controller.abort('why');
  expect(sent.filter(({ type }) => type === 'abort')).toEqual([{ type: 'abort', id: 1 }]);
  say({ type: 'error', id: 1, error: toWire(new BitxError('aborted', 'stopped')) });
  await expect(call).rejects.toMatchObject({ code: 'aborted', cause: 'why' });
  await expect(client.call('double', 3, { signal })).rejects.toMatchObject({ code: 'aborted' });
  expect(sent.filter(({ type }) => type === 'call')).toHaveLength(2);
});

test('once it has ended, every call fails with the reason', async () => {
  const { peer, open } = fakePeer();
  const client = new Client(peer);
  open();
  const pending = client.call('double', 1);
  const error = new BitxError('disposed', 'over');
  client.end(error);
  expect(client.ended).toBe(error);
  expect(peer.terminate).toHaveBeenCalledTimes(1);
  await expect(pending).rejects.toBe(error);
  await expect(client.call('double', 2)).rejects.toBe(error);
});

test('a script that does not load is a failed start, one that fails later a fault', async () => {
  const early = fakePeer();
  const unopened = new Client(early.peer);
  early.peer.onerror?.({ message: '' } as ErrorEvent);
  await expect(unopened.opened).rejects.toMatchObject({ code: 'start-failed' });

  const late = fakePeer();
  const client = new Client(late.peer);
  late.open();
  const pending = client.call('double', 1);
  late.peer.onerror?.({ message: 'out of memory' } as ErrorEvent);
  await expect(pending).rejects.toMatchObject({
    code: 'internal',
    message: "The test's worker failed: out of memory",
  });
});

test('a worker that stays silent is given up', async () => {
  vi.useFakeTimers();
  try {
    const { peer } = fakePeer();
    const opened = expect(new Client(peer).opened).rejects.toMatchObject({ code: 'start-failed' });
    await vi.advanceTimersByTimeAsync(20_000);
    await opened;
  } finally {
    vi.useRealTimers();
  }
});
