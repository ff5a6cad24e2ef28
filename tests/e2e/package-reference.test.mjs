/** The doc comments from which the API reference is made. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageDist } from '../../scripts/lib/paths.mjs';

const FILES = {
  'codec/bitx':
    'create inspect tensors restore restoreStream readTensor compress compressStream merge mergeStream',
  'cache/cache': 'open fetch put match findByDigest has stat list verify delete',
  'cache/fine-tune': 'planFineTune loadFineTune',
  'folder/compress': 'compressFolder',
  'folder/restore': 'inspectFolder restoreFolder',
  'hub/hub': 'list plan pull planPush push',
  'runtimes/service-worker/index': 'respond',
  'runtimes/transformers': 'restoringCache',
  'runtimes/node/files': 'fileSource',
  'runtimes/node/file-output': 'fileOutput',
};

/** Returns the comment before the first declaration of a name. */
function commentOf(text, name) {
  const starts = [`\n    ${name}(`, `\n    static ${name}(`, `function ${name}(`];
  const declaration = starts.map((start) => text.indexOf(start));
  const place = Math.min(...declaration.filter((index) => index >= 0));
  return text.slice(text.lastIndexOf('/**', place), text.lastIndexOf('*/', place));
}

for (const [file, names] of Object.entries(FILES)) {
  test(`each call of ${file} has an example and tells how it fails`, () => {
    const text = readFileSync(join(packageDist, 'types', `${file}.d.ts`), 'utf8');
    for (const name of names.split(' ')) {
      const comment = commentOf(text, name);
      assert.match(comment, /@example\n[ *]*```ts/, name);
      assert.match(comment, /[Ff]ails with|rejects|Rejects|Throws/, name);
    }
  });
}
