/** Paths as outputs, in Node: the file appears whole or not at all. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Bitx } from 'bitx-wasm';
import { SHA256, sha256, vectors } from './support.mjs';

const base = join(vectors, 'base-bf16.safetensors');
const delta = join(vectors, 'sft-bf16.v2.bitx');
const wrong = join(vectors, 'base-f16.safetensors');
let bitx;
before(async () => {
  bitx = await Bitx.create({ threads: 1 });
});
after(() => bitx.dispose());

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'bitx-output-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('a path, relative or not, and a file URL are outputs', async (t) => {
  const place = folder(t);
  const names = { absolute: 'a', relative: 'b', url: 'with space', text: 'd' };
  const path = (name) => join(place, names[name]);
  for (const output of [
    path('absolute'),
    relative(process.cwd(), path('relative')),
    pathToFileURL(path('url')),
    pathToFileURL(path('text')).href,
  ]) {
    assert.equal(await bitx.restore({ base, delta, output }), undefined);
  }
  assert.deepEqual(readdirSync(place).sort(), Object.values(names).sort());
  for (const name of Object.values(names)) {
    assert.equal(sha256(readFileSync(join(place, name))), SHA256.sft);
  }
});

test('a name may have any characters', async (t) => {
  const place = folder(t);
  for (const name of ['a #1', 'what?', '100%', 'a%20b', 'größe', 'c:d']) {
    const [input, output] = [join(place, name), join(place, `${name} restored`)];
    writeFileSync(input, readFileSync(delta));
    await bitx.restore({ base, delta: relative(process.cwd(), input), output });
    assert.equal(sha256(readFileSync(output)), SHA256.sft);
    assert.ok(readdirSync(place).includes(`${name} restored`));
  }
});

test('an archive is written to a path as well', async (t) => {
  const output = join(folder(t), 'tuned.bitx');
  await bitx.compress({ base, target: wrong, output });
  const info = await bitx.inspect(output);
  assert.equal(info.restoredBytes, statSync(wrong).size);
});

test('a failed call leaves nothing, and keeps an old file', async (t) => {
  const place = folder(t);
  const old = join(place, 'old');
  writeFileSync(old, 'old');
  const failing = [
    [{ base: wrong, delta }, 'base-mismatch'],
    [{ base: join(place, 'missing'), delta }, 'io'],
    [{ base, delta, deltas: delta }, 'invalid-argument'],
    [{ base, delta, signal: AbortSignal.abort() }, 'aborted'],
    [{ base, delta, maxOutput: 10 }, 'limit'],
  ];
  for (const [options, code] of failing) {
    for (const output of [join(place, 'new'), old]) {
      await assert.rejects(bitx.restore({ ...options, output }), { code });
      assert.deepEqual(readdirSync(place), ['old'], code);
    }
  }
  assert.equal(readFileSync(old, 'utf8'), 'old');
});

test('a call that is aborted in the middle leaves nothing', async (t) => {
  const place = folder(t);
  const abort = new AbortController();
  const onProgress = ({ loaded }) => loaded > 0 && abort.abort();
  const options = { base, delta, output: join(place, 'new'), signal: abort.signal, onProgress };
  await assert.rejects(bitx.restore(options), { code: 'aborted' });
  assert.deepEqual(readdirSync(place), []);
});

test('until it is complete, the file has no name', async (t) => {
  const place = folder(t);
  const seen = new Set();
  const onProgress = () => {
    for (const name of readdirSync(place)) seen.add(name);
  };
  await bitx.restore({ base, delta, output: join(place, 'model'), onProgress });
  assert.deepEqual(readdirSync(place), ['model']);
  assert.ok(!seen.has('model') || seen.size === 2, [...seen].join());
});

test('an output that cannot be written fails before the work, and is named', async (t) => {
  const place = folder(t);
  mkdirSync(join(place, 'folder'));
  for (const [output, reason] of [
    [join(place, 'no', 'model'), /ENOENT/],
    [join(place, 'folder'), /EISDIR/],
    [join(base, 'model'), /ENOTDIR/],
  ]) {
    let begun = false;
    const onProgress = () => {
      begun = true;
    };
    await assert.rejects(bitx.restore({ base, delta, output, onProgress }), (error) => {
      assert.equal(error.code, 'io');
      assert.ok(error.message.startsWith(`${output} `), error.message);
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /\.part/);
      return true;
    });
    assert.ok(!begun);
  }
  for (const output of ['', 'https://models.example/model', new URL('https://models.example/')]) {
    const message = /path or a file: URL/;
    await assert.rejects(bitx.restore({ base, delta, output }), { code: 'invalid-argument', message });
  }
  assert.deepEqual(readdirSync(place), ['folder']);
});

test('permissions and links stay', async (t) => {
  const place = folder(t);
  const [file, link] = [join(place, 'file'), join(place, 'link')];
  writeFileSync(file, 'old');
  chmodSync(file, 0o640);
  symlinkSync('file', link);
  await bitx.restore({ base, delta, output: link });
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.equal(sha256(readFileSync(file)), SHA256.sft);
  assert.equal(statSync(file).mode & 0o777, 0o640);
  assert.deepEqual(readdirSync(place).sort(), ['file', 'link']);
});

test('the base may be replaced by its fine-tune', async (t) => {
  const output = join(folder(t), 'model');
  writeFileSync(output, readFileSync(base));
  await bitx.restore({ base: output, delta, output });
  assert.equal(sha256(readFileSync(output)), SHA256.sft);
});

test('a device and a pipe are written as they are', async (t) => {
  await bitx.restore({ base, delta, output: '/dev/null' });
  assert.ok(statSync('/dev/null').isCharacterDevice());
  const pipe = join(folder(t), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const reader = spawn('sha256sum', [pipe]);
  let printed = '';
  reader.stdout.on('data', (text) => {
    printed += text;
  });
  // The reader may end before the restore does.
  const closed = new Promise((resolve) => reader.once('close', resolve));
  await bitx.restore({ base, delta, output: pipe });
  await closed;
  assert.ok(printed.startsWith(SHA256.sft), printed);
});

test('several calls write to one path, and each is whole', async (t) => {
  const place = folder(t);
  const output = join(place, 'model');
  const other = join(vectors, 'lora-bf16.v1.bitx');
  await Promise.all([delta, other, delta].map((delta) => bitx.restore({ base, delta, output })));
  assert.deepEqual(readdirSync(place), ['model']);
  assert.ok(Object.values(SHA256).includes(sha256(readFileSync(output))));
});
