import { openPage } from './support.mjs';

export const BASE = '/vectors/base-bf16.safetensors';
export const SFT = '/vectors/sft-bf16.v1.bitx';
export const SFT_V2 = '/vectors/sft-bf16.v2.bitx';

/** Opens a page with a Bitx and a few helpers in its global scope. */
export async function bitxPage(t, env, options) {
  const page = await openPage(t, env, options);
  await page.evaluate(async () => {
    const { Bitx, BitxError } = await import('/bitx/index.js');
    const hex = (buffer) =>
      Array.from(new Uint8Array(buffer), (b) => b.toString(16).padStart(2, '0')).join('');
    Object.assign(globalThis, {
      bitx: await Bitx.create({ threads: 2 }),
      blobOf: async (path) => (await fetch(path)).blob(),
      sha256: async (blob) => hex(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())),
      failure: async (promise) => {
        const error = await promise.then(
          () => new Error('it succeeded'),
          (thrown) => thrown,
        );
        if (!(error instanceof BitxError)) throw error;
        return { ...error, message: error.message, cause: String(error.cause) };
      },
      /** Returns a stream that records its events. */
      recorder: (write = async () => {}) => {
        const parts = [];
        const events = [];
        const stream = new WritableStream({
          write: (part) => {
            parts.push(part);
            return write(part);
          },
          close: () => void events.push('close'),
          abort: () => void events.push('abort'),
        });
        return { stream, parts, events };
      },
    });
  });
  return page;
}
