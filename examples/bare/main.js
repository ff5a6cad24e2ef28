import { Bitx } from 'bitx-wasm';

const status = document.querySelector('output');
const bitx = await Bitx.create();
try {
  const model = await bitx.restore({
    base: 'models/base.safetensors',
    delta: 'models/fine-tune.bitx',
    onProgress: ({ phase, loaded, total }) => {
      status.textContent = `${phase} ${loaded} of ${total}`;
    },
  });
  const digest = await crypto.subtle.digest('SHA-256', await model.arrayBuffer());
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
  status.textContent = `${model.size} bytes, sha256 ${hex}, ${bitx.mode}`;
} finally {
  bitx.dispose();
}
