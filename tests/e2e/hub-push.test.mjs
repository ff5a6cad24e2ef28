import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { blake3 } from 'hash-wasm';
import { hubEnvironment, hubPage, variant } from './hub-support.mjs';
import { gatherModel, weightPair } from './onnx-model.mjs';
import { sha256, vectors } from './support.mjs';

const env = hubEnvironment();
const MODEL = 'model.safetensors';
const PART = 1 << 14;
let seed = 0;

/**
 * Opens a page, with a model name that the hub does not know yet, and a model whose changed tensors
 * it does not have.
 */
async function pushPage(t, { base } = {}) {
  const page = await hubPage(t, env);
  const name = `new/model-${++seed}`;
  const model = variant(env.models.sft, seed);
  env.origin.put('mine', model);
  await page.evaluate(
    async ([name, base]) => {
      globalThis.name = name;
      globalThis.mine = new File([await bytesOf('/m/mine')], 'mine.safetensors');
      globalThis.files = { 'model.safetensors': mine, 'config.json': new Blob([JSON.stringify({ name })]) };
      if (base) await hub.pull(base, { files: ['model.safetensors'] });
    },
    [name, base],
  );
  env.proxy.reset();
  return { page, name, model };
}

/** Returns the file as the hub gives it to everyone. */
async function served(name, path = MODEL) {
  const answer = await fetch(`${env.hub.address}models/${name}/files/${path}`);
  return answer.ok ? sha256(Buffer.from(await answer.arrayBuffer())) : answer.status;
}

/** Returns the number of bytes of files that were sent. */
const sentBytes = () => env.proxy.hits('PUT').reduce((sum, { body }) => sum + body, 0);

test('a new model is published, as a delta against the base that the page has', async (t) => {
  const { page, name, model } = await pushPage(t, { base: 'models/base' });
  const { plan, result, phases } = await page.evaluate(async () => {
    const plan = await hub.planPush(name, files);
    const phases = new Map();
    const onProgress = ({ phase, path, loaded, total }) => phases.set(`${phase} ${path}`, [loaded, total]);
    return { plan, result: await hub.push(name, files, { onProgress }), phases: [...phases] };
  });
  const [planned] = plan.files;
  assert.equal(planned.known, false);
  assert.equal(planned.blake3, await blake3(model));
  assert.equal(planned.tensors.count, 14);
  assert.ok(planned.knownTensors.count < 14);
  assert.deepEqual([planned.base.model, planned.base.here], ['models/base', true]);
  assert.ok(
    planned.bases.some(({ here }) => !here),
    'the fine-tunes fit too',
  );
  const [pushed, config] = result.files;
  assert.equal(pushed.base.blake3, await blake3(env.models.base));
  assert.ok(pushed.sentBytes < model.length / 2, `${pushed.sentBytes} of ${model.length} bytes`);
  assert.equal(config.base, undefined);
  assert.equal(result.sentBytes, pushed.sentBytes + config.sentBytes);
  assert.equal(sentBytes(), result.sentBytes, 'what was sent, and once');
  assert.equal(await served(name), sha256(model));
  assert.equal(await served(name, 'config.json'), sha256(JSON.stringify({ name })));
  const done = Object.fromEntries(phases);
  assert.deepEqual(done[`compress ${MODEL}`], [model.length, model.length]);
  assert.deepEqual(done[`upload ${MODEL}`], [pushed.sentBytes, pushed.sentBytes]);
  assert.equal(done[`digest ${MODEL}`], undefined, 'planning had read it');
});

test('without a base, a model is sent as a delta against nothing', async (t) => {
  const { page, name, model } = await pushPage(t);
  const [pushed] = await page.evaluate(async () => (await hub.push(name, files)).files);
  assert.equal(pushed.base, undefined);
  assert.ok(pushed.sentBytes < model.length * 0.8, `${pushed.sentBytes} of ${model.length} bytes`);
  assert.equal(await served(name), sha256(model));
});

test('a base may be given; one that the hub does not propose is not used', async (t) => {
  const { page, name, model } = await pushPage(t);
  env.origin.put('rl', env.models.rl);
  env.origin.put('unknown', variant(env.models.base, 99));
  const [pushed] = await page.evaluate(async () => {
    const base = [await bytesOf('/m/unknown'), await bytesOf('/m/rl')];
    return (await hub.push(name, files, { base, effort: 'fast' })).files;
  });
  assert.equal(pushed.base.blake3, await blake3(env.models.rl));
  assert.equal(await served(name), sha256(model));
});

test('an ONNX fine-tune goes as a delta against its base', async (t) => {
  const page = await hubPage(t, env);
  const name = `new/onnx-${++seed}`;
  const shape = { rows: 1024, columns: 64 };
  const { base, target } = weightPair(shape.rows, shape.columns);
  const models = [base, target].map((weights) => gatherModel({ ...shape, weights }));
  env.origin.put('onnx-base', models[0]);
  env.origin.put('onnx-tuned', models[1]);
  const { planned, pushed } = await page.evaluate(async (name) => {
    const [base, tuned] = [await bytesOf('/m/onnx-base'), await bytesOf('/m/onnx-tuned')];
    await hub.push(`${name}-base`, { 'model.onnx': base });
    const plan = await hub.planPush(name, { 'model.onnx': tuned }, { base });
    const result = await hub.push(name, { 'model.onnx': tuned }, { base });
    return { planned: plan.files[0], pushed: result.files[0] };
  }, name);
  assert.equal(planned.tensors.count, 1);
  assert.equal(pushed.base.blake3, await blake3(models[0]));
  assert.ok(pushed.sentBytes < models[1].length * 0.8, `${pushed.sentBytes} of ${models[1].length} bytes`);
  assert.equal(await served(name, 'model.onnx'), sha256(models[1]));
});

test('nothing is sent of files that the hub has', async (t) => {
  const { page, name } = await pushPage(t);
  env.origin.put('lora', env.models.lora);
  const { plan, result } = await page.evaluate(async () => {
    const files = { 'copy.safetensors': await bytesOf('/m/lora') };
    return { plan: await hub.planPush(name, files), result: await hub.push(name, files) };
  });
  assert.deepEqual(plan.files[0].knownTensors, plan.files[0].tensors);
  assert.deepEqual([plan.files[0].known, plan.files[0].bases], [true, []]);
  assert.deepEqual(
    [result.files[0].known, result.sentBytes, result.bytes],
    [true, 0, env.models.lora.length],
  );
  assert.equal(env.proxy.hits('PUT').length, 0);
  assert.equal(await served(name, 'copy.safetensors'), sha256(env.models.lora));
});

test('a broken upload continues at the offset that the hub tells', async (t) => {
  const { page, name, model } = await pushPage(t);
  let puts = 0;
  env.proxy.fault = ({ method, path }) => {
    if (method !== 'PUT' || !path.endsWith('/0')) return undefined;
    puts++;
    // Twice in a row, since browsers retry by themselves when a reused connection fails.
    if (puts === 4 || puts === 5) return { cutBody: 3000 };
    if (puts === 8) return { status: 503, headers: { 'retry-after': '0' } };
    // The part has arrived, but its answer is lost.
    return puts === 12 || puts === 13 ? { loseAnswer: true } : undefined;
  };
  const [pushed] = await page.evaluate(async () => (await hub.push(name, files)).files);
  assert.equal(await served(name), sha256(model));
  const asked = env.proxy.hits('HEAD', /files\/0/).length;
  assert.ok(asked >= 4 && asked <= 6, `${asked} questions: at the beginning, and after each fault`);
  const whole = Math.ceil(pushed.sentBytes / PART);
  assert.ok(puts >= whole + 3 && puts <= whole + 5, `${puts} requests for ${whole} parts`);
});

test('the last answer of an upload may get lost as well', async (t) => {
  const { page, name, model } = await pushPage(t);
  let lost = 0;
  env.proxy.fault = ({ method, path, headers }) => {
    const [, last, total] = /-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
    const isLast = method === 'PUT' && path.endsWith('/0') && Number(last) + 1 === Number(total);
    return isLast && lost++ < 2 ? { loseAnswer: true } : undefined;
  };
  await page.evaluate(() => hub.push(name, files));
  assert.ok(lost >= 2);
  assert.equal(await served(name), sha256(model));
});

test('a hub that keeps losing bytes is an error', async (t) => {
  const { page, name } = await pushPage(t);
  env.proxy.fault = ({ method, headers }) => {
    if (method === 'HEAD') return { status: 200, headers: { 'upload-offset': '0' } };
    const isFirst = headers['content-range']?.startsWith('bytes 0-');
    if (method === 'PUT') return { status: isFirst ? 202 : 503 };
    return undefined;
  };
  const error = await page.evaluate(() => failure(hubOf({ token: 'writer', retries: 2 }).push(name, files)));
  assert.deepEqual([error.code, error.status], ['network', 503]);
  assert.equal(env.proxy.hits('PUT').length, 6);
});

test('a lost answer does not publish twice', async (t) => {
  const { page, name, model } = await pushPage(t);
  let lost = 0;
  env.proxy.fault = ({ path }) =>
    path.endsWith('/publish') && lost++ === 0 ? { loseAnswer: true } : undefined;
  const { bytes } = await page.evaluate(() => hub.push(name, files));
  assert.ok(bytes > model.length);
  assert.equal(lost, 2);
  assert.equal(await served(name), sha256(model));
});

test('a push is cancelled and continues where it stopped', async (t) => {
  const { page, name, model } = await pushPage(t);
  const error = await page.evaluate(() => {
    const abort = new AbortController();
    const onProgress = ({ phase, loaded }) => {
      if (phase === 'upload' && loaded > 200_000) abort.abort(new Error('enough'));
    };
    return failure(hub.push(name, files, { signal: abort.signal, onProgress }));
  });
  assert.equal(error.code, 'aborted');
  assert.equal(await served(name), 404, 'nothing is published');
  const before = sentBytes();
  env.proxy.reset();
  const { result, phases } = await page.evaluate(async () => {
    const phases = new Set();
    const result = await hub.push(name, files, { onProgress: ({ phase }) => phases.add(phase) });
    return { result, phases: [...phases] };
  });
  assert.equal(await served(name), sha256(model));
  assert.deepEqual(phases, ['upload'], 'nothing is read or compressed again');
  assert.ok(before > 200_000 - PART && sentBytes() <= result.sentBytes - 200_000 + PART);
});

test('reading and compressing are cancelled as well', async (t) => {
  const { page, name } = await pushPage(t);
  for (const phase of ['digest', 'compress']) {
    const error = await page.evaluate((phase) => {
      const abort = new AbortController();
      const onProgress = (progress) => progress.phase === phase && abort.abort(new Error('enough'));
      return failure(hub.push(name, files, { signal: abort.signal, onProgress }));
    }, phase);
    assert.equal(error.code, 'aborted', phase);
  }
  assert.equal(env.proxy.hits('PUT').length, 0);
  assert.equal(
    await page.evaluate(() =>
      failure(hub.push(name, files, { signal: AbortSignal.abort() })).then(({ code }) => code),
    ),
    'aborted',
  );
  assert.equal(await served(name), 404);
});

test('an upload that the hub has forgotten starts again', async (t) => {
  const { page, name, model } = await pushPage(t);
  await page.evaluate(() => {
    const abort = new AbortController();
    const onProgress = ({ phase, loaded }) => phase === 'upload' && loaded > 100_000 && abort.abort();
    return failure(hub.push(name, files, { signal: abort.signal, onProgress }));
  });
  const [{ path }] = env.proxy.hits('PUT');
  const upload = env.hub.address + path.slice(1).replace(/\/files.*/, '');
  const headers = { authorization: 'Bearer writer' };
  assert.ok((await fetch(upload, { method: 'DELETE', headers })).ok);
  env.proxy.reset();
  await page.evaluate(() => hub.push(name, files));
  assert.equal(env.proxy.hits('POST', /uploads$/).length, 1);
  assert.equal(await served(name), sha256(model));
});

test('a token that may only read is refused before a byte is sent', async (t) => {
  const { page, name } = await pushPage(t);
  const errors = await page.evaluate(async () => [
    await failure(hubOf({ token: 'reader' }).push(name, files)),
    await failure(hubOf({}).push(name, files)),
    await failure(hub.push('models/base', files)),
  ]);
  assert.deepEqual(
    errors.map(({ code, status }) => [code, status]),
    [
      ['forbidden', 403],
      ['unauthorized', 401],
      ['forbidden', 403],
    ],
  );
  assert.equal(env.proxy.hits('PUT').length, 0);
  assert.equal(await served(name), 404);
});

test('bytes that change on the way are not published', async (t) => {
  const { page, name } = await pushPage(t);
  for (const path of ['config.json', MODEL]) {
    env.proxy.fault = ({ method }) =>
      method === 'PUT' ? { damageBody: (bytes) => bytes.fill(0x20) } : undefined;
    const error = await page.evaluate((path) => failure(hub.push(name, { [path]: files[path] })), path);
    assert.deepEqual([error.code, error.status], ['integrity', 422], path);
    assert.equal(await served(name, path), 404);
  }
  env.proxy.reset();
  await page.evaluate(() => hub.push(name, files));
  assert.equal(env.proxy.hits('POST', /uploads$/).length, 1);
});

test('a hub that is busy for long fails the push, and the next one continues', async (t) => {
  const { page, name, model } = await pushPage(t);
  env.proxy.fault = ({ method }) => (method === 'PUT' ? { status: 503 } : undefined);
  const error = await page.evaluate(() => failure(hub.push(name, files)));
  assert.deepEqual([error.code, error.status], ['network', 503]);
  env.proxy.reset();
  await page.evaluate(() => hub.push(name, files));
  assert.equal(env.proxy.hits('POST', /uploads$/).length, 0, 'the upload waited');
  assert.equal(await served(name), sha256(model));
});

for (const file of ['blocks.target.gguf', 'dtypes.target.safetensors']) {
  test(`the announced tensors are those that the core finds: ${file}`, async (t) => {
    const { page } = await pushPage(t);
    const bytes = readFileSync(join(vectors, '..', 'v2', file));
    env.origin.put(file, bytes);
    const seen = await page.evaluate(async (file) => {
      const { Bitx } = await import('/bitx/index.js');
      const target = await bytesOf(`/m/${file}`);
      await hub.planPush('new/tensors', { [file]: target });
      const bitx = await Bitx.create();
      const { tensors } = await bitx.inspect(await bitx.compress({ base: [], target }));
      bitx.dispose();
      return tensors.map(({ name, dtype, shape, restoredBytes }) => ({
        name,
        dtype,
        shape,
        length: restoredBytes,
      }));
    }, file);
    const [{ text }] = env.proxy.hits('POST', /uploads$/);
    const [announced] = JSON.parse(text).files;
    assert.deepEqual(
      announced.tensors.map(({ blake3: _, ...tensor }) => tensor),
      seen,
    );
    assert.ok(seen.length > 1);
    await digestsAreRight(announced.tensors, bytes);
  });
}

/**
 * Finds the bytes of every tensor in the file by their digest: each begins where the one before
 * ended, or after some padding.
 */
async function digestsAreRight(tensors, bytes) {
  let at = 0;
  for (const { name, length, blake3: digest } of tensors) {
    while (at + length <= bytes.length && (await blake3(bytes.subarray(at, at + length))) !== digest) at++;
    assert.ok(at + length <= bytes.length, name);
    at += length;
  }
}

test('handles, other files and broken headers are pushed as well', async (t) => {
  const { page } = await pushPage(t);
  env.origin.put(
    'broken',
    Buffer.concat([Buffer.from([255, 255, 255, 255, 255, 255, 0, 0]), Buffer.alloc(100_000, 7)]),
  );
  const result = await page.evaluate(async () => {
    const folder = await navigator.storage.getDirectory();
    const handle = await folder.getFileHandle('notes.txt', { create: true });
    const writable = await handle.createWritable();
    await writable.write('notes '.repeat(20_000));
    await writable.close();
    const files = { 'notes.txt': handle, 'deep/er/empty': new Blob([]), broken: await bytesOf('/m/broken') };
    const { files: planned } = await hub.planPush(name, files);
    const { files: pushed } = await hub.push(name, files);
    return { pushed, tensors: planned.map(({ tensors }) => tensors.count) };
  });
  assert.deepEqual(result.tensors, [0, 0, 0]);
  const [notes, empty] = result.pushed;
  assert.ok(notes.sentBytes < 20_000 && empty.sentBytes === 0);
  const name = await page.evaluate(() => globalThis.name);
  assert.equal(await served(name, 'notes.txt'), sha256('notes '.repeat(20_000)));
  assert.equal(await served(name, 'deep/er/empty'), sha256(''));
  const none = await page.evaluate(() => failure(hub.push('new/none', {})));
  assert.equal(none.code, 'invalid-argument');
});
