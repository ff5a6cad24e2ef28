/** Aborts while an archive opens: a worker that computes hears nothing, and is ended. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environment, openPage, SHA256 } from './support.mjs';

const env = environment();
const BASE = '/vectors/base-bf16.safetensors';
const DELTA = '/vectors/sft-bf16.v2.bitx';

/** Opens a page with a Bitx whose worker hangs when it opens an archive after `hang(true)`. */
async function hangingPage(t, options, isolated = true) {
  let hangs = 'no';
  env.mounts['/hangs'] = (_, response) => response.end(hangs);
  const page = await openPage(t, env, { isolated });
  await page.exposeFunction('hang', (on) => {
    hangs = on ? 'yes' : 'no';
  });
  await page.evaluate(async (options) => {
    const { Bitx } = await import('/bitx/index.js');
    globalThis.bitx = await Bitx.create({ workerUrl: '/broken/hanging-open.js', ...options });
    globalThis.sha256 = async (blob) => {
      const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
      return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
    };
    /** Begins a call that hangs, aborts it, and returns its error. */
    globalThis.abortHanging = async (call) => {
      // A worker that hangs when it starts counts as broken.
      await bitx.inspect('/vectors/sft-bf16.v2.bitx');
      await hang(true);
      const controller = new AbortController();
      const failed = call(controller.signal).catch(({ code, cause }) => [code, cause]);
      setTimeout(async () => {
        await hang(false);
        controller.abort('enough');
      }, 500);
      return failed;
    };
  }, options);
  return page;
}

for (const [mode, isolated] of [
  ['threads', true],
  ['pool', false],
  ['single', true],
]) {
  test(`a call that hangs while an archive opens is aborted, and the next one works: ${mode}`, async (t) => {
    const page = await hangingPage(t, { threads: mode === 'single' ? 1 : 2 }, isolated);
    const found = await page.evaluate(
      async ([base, delta]) => ({
        restore: await abortHanging((signal) => bitx.restore({ base, delta, signal })),
        inspect: await abortHanging((signal) => bitx.inspect(delta, { signal })),
        tensor: await abortHanging((signal) => bitx.readTensor({ base, delta, name: 'x', signal })),
        stream: await abortHanging((signal) => bitx.restoreStream({ base, delta, signal })),
        digest: await sha256(await bitx.restore({ base, delta })),
        mode: bitx.mode,
      }),
      [BASE, DELTA],
    );
    const aborted = ['aborted', 'enough'];
    const { restore, inspect, tensor, stream, digest } = found;
    assert.deepEqual([restore, inspect, tensor, stream], [aborted, aborted, aborted, aborted]);
    assert.deepEqual([digest, found.mode], [SHA256.sft, mode], 'the mode had no fault');
  });
}

test('other calls begin again when a worker that hangs is ended', async (t) => {
  const page = await hangingPage(t, { threads: 1 });
  const found = await page.evaluate(
    async ([base, delta]) => {
      // The stream waits in the middle of its output.
      const { stream } = await bitx.restoreStream({ base, delta });
      const reader = stream.getReader();
      const first = await reader.read();
      const code = await abortHanging((signal) => bitx.inspect(delta, { signal }));
      const parts = [first.value];
      for (let part = await reader.read(); !part.done; part = await reader.read()) parts.push(part.value);
      return { code, digest: await sha256(new Blob(parts)) };
    },
    [BASE, DELTA],
  );
  assert.deepEqual(found, { code: ['aborted', 'enough'], digest: SHA256.sft });
});
