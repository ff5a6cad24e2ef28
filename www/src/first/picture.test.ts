import { expect, test } from 'vitest';
import { firstScreen } from './markup.js';
import { pictureSvg, squares } from './picture.js';

const picture = { columns: 2, rows: 2, sizes: '0135', changes: { light: '0010', full: '1203' } };

test('squares lie in rows and have one level', () => {
  expect(squares('0101', '1', 2)).toBe('M1 0h.86v.86h-.86zM1 1h.86v.86h-.86z');
  expect(squares('0101', '3', 2)).toBe('');
});

test('the picture has every weight once, and its changes above', () => {
  const weights = (svg: string, name: string) =>
    svg
      .split('<path')
      .filter((path) => path.includes(name))
      .join('')
      .split('M').length - 1;
  expect(weights(pictureSvg(picture, 'light'), 'base')).toBe(4);
  expect(weights(pictureSvg(picture, 'light'), 'change')).toBe(1);
  expect(weights(pictureSvg(picture, 'full'), 'change')).toBe(3);
});

test('the figures of the first fine-tune are in the page', () => {
  const tune = { id: 'light', title: 'Light', about: 'a few steps', bytes: 1_192_912, storedBytes: 11_830 };
  const html = firstScreen('<!-- base -->, <!-- whole -->, <!-- change -->, <!-- tunes -->', {
    base: { storedBytes: 700_000 },
    tunes: [tune],
    picture,
  });
  expect(html).toMatch(/^700 kB, 1\.19 MB, 11\.8 kB, .*value="light" checked/);
});
