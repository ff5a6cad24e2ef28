import { expect, test } from 'vitest';
import { helplessNote } from './helpless.js';

const tensor = (method: string, restoredBytes: number) => ({ method, restoredBytes });

test('a base that hardly helps is called so, with the part that it helps', () => {
  expect(helplessNote([tensor('solo', 100), tensor('stored', 50)])).toMatch(/: no tensor could be stored/);
  expect(helplessNote([tensor('solo', 950), tensor('delta', 50)])).toMatch(
    /: only 5\.0 % of the model could/,
  );
});

test('a base that helps needs no words, and neither does a file without tensors', () => {
  for (const method of ['xor', 'copy-base', 'delta', 'predicted', 'grid', 'patch']) {
    expect(helplessNote([tensor('solo', 80), tensor(method, 20)]), method).toBeUndefined();
  }
  expect(helplessNote([])).toBeUndefined();
});
