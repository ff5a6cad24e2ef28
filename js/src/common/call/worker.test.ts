import { expect, test, vi } from 'vitest';
import { BitxError, type WireError } from '../errors.js';
import type { Call } from './messages.js';
import { answer } from './rpc.js';
import { type Port, type Running, WorkerHost } from './worker.js';
import { type Peer, WorkerClient } from './worker-client.js';

interface Operations {
  double: { args: number; result: number };
  wait: { args: undefined; result: never };
  question: { args: undefined; result: string };
  fault: { args: undefined; result: never };
}

class Host extends WorkerHost<{ factor: number }, Operations, string, string> {
  #factor = 0;

  protected open({ factor }: { factor: number }): string {
    if (factor === 0) throw new BitxError('unsupported', 'no factor');
    this.send({ type: 'step' });
    this.#factor = factor;
    return `times ${factor}`;
  }

  protected async perform({ operation, args }: Call<Operations>, running: Running<string>): Promise<unknown> {
    const { id, signal, report } = running;
    if (operation === 'double') {
      report('half done');
      return (args as number) * this.#factor;
    }
    if (operation === 'question') return this.ask({ type: 'question', id }, signal);
    if (operation === 'fault') throw new TypeError('x is undefined');
    return this.ask({ type: 'never', id }, signal);
  }

  protected override isFatal({ code }: WireError): boolean {
    return code === 'internal';
  }
}

class Client extends WorkerClient<Operations, string, string> {
  protected override receive(message: Parameters<WorkerClient<Operations, string, string>['receive']>[0]) {
    const { type } = message as { type: string };
    if (type === 'question') void answer(message as never, () => 'the answer');
    else if (type !== 'never') super.receive(message);
  }

  static over(peer: Peer, factor: number): Client {
    return new Client({ name: 'test', peer, settings: { factor } });
  }
}

/** Joins both ends of a worker by a channel. */
function joined(factor: number): Client {
  const { port1, port2 } = new MessageChannel();
  const terminate = vi.fn(() => port1.close());
  const client = Client.over(Object.assign(port1, { onerror: null, terminate }) as unknown as Peer, factor);
  new Host(port2 as unknown as Port);
  port2.start();
  return client;
}

test('a call gets its result and its progress', async () => {
  const client = joined(2);
  expect(await client.opened).toBe('times 2');
  const onProgress = vi.fn();
  expect(await client.call('double', 21, { onProgress })).toBe(42);
  expect(onProgress.mock.calls).toEqual([['half done']]);
  expect(await client.call('question', undefined)).toBe('the answer');
  client.end(new BitxError('disposed', 'over'));
});

test('a worker that cannot open tells why', async () => {
  await expect(joined(0).opened).rejects.toMatchObject({ code: 'unsupported', message: 'no factor' });
});

test('an abort ends the wait for an answer that never comes, and nothing else', async () => {
  const client = joined(2);
  await client.opened;
  const controller = new AbortController();
  const waiting = client.call('wait', undefined, { signal: controller.signal });
  controller.abort('enough');
  await expect(waiting).rejects.toMatchObject({ code: 'aborted', cause: 'enough' });
  expect(await client.call('double', 1)).toBe(2);
  client.end(new BitxError('disposed', 'over'));
});

test('after a fatal error, the worker is not used again', async () => {
  const client = joined(2);
  await client.opened;
  await expect(client.call('fault', undefined)).rejects.toMatchObject({ message: 'x is undefined' });
  await expect(client.call('double', 1)).rejects.toMatchObject({
    code: 'internal',
    message: 'The test failed: x is undefined',
  });
});
