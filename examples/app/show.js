/** Restores the model of the examples and shows its size and digest in an element. */
export async function show(Bitx, output) {
  const bitx = await Bitx.create();
  try {
    const model = await bitx.restore({
      base: 'models/base.safetensors',
      delta: 'models/fine-tune.bitx',
      onProgress: ({ phase, loaded, total }) => {
        output.textContent = `${phase} ${loaded} of ${total}`;
      },
    });
    output.textContent = `${await describe(model)}, ${bitx.mode}`;
  } finally {
    bitx.dispose();
  }
}

/** Returns the size and the digest of a model as text. */
export async function describe(model) {
  const digest = await crypto.subtle.digest('SHA-256', await model.arrayBuffer());
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${model.size} bytes, sha256 ${hex}`;
}
