import { expect, test } from 'vitest';
import { fileName, type Link, LinkError, linkTo, otherOrigins, readLink } from './query.js';

const PAGE = 'https://bitx.example/demo/';
const read = (query: string) => readLink(PAGE + query);

test('a page without addresses names nothing', () => {
  expect(read('')).toBeUndefined();
  expect(read('?utm_source=mail#own')).toBeUndefined();
});

test('addresses are those of a base and a delta, or of a model', () => {
  const link = read('?base=a.safetensors&base=https://cdn.example/b.safetensors&delta=/t.bitx');
  expect(link?.kind).toBe('restore');
  expect(otherOrigins(link as Link, PAGE)).toEqual(['https://cdn.example']);
  expect(otherOrigins(read('?model=t.bitx') as Link, PAGE)).toEqual([]);
});

test('a broken link is explained', () => {
  const broken = {
    '?base=a': /needs the addresses/,
    '?delta=a': /needs the addresses/,
    '?base=a&delta=b&delta=c': /one delta/,
    '?model=': /model.*not an address of the web: \(empty\)/,
    '?model=a&model=b': /one model/,
    '?model=a&base=b': /one model/,
    '?base=javascript:alert(1)&delta=b': /base.*not an address of the web: javascript/,
    '?base=file:///etc/passwd&delta=b': /not an address of the web/,
    '?base=http://[::1&delta=b': /not an address of the web/,
    '?model=blob:https://bitx.example/1': /not an address of the web/,
  };
  for (const [query, message] of Object.entries(broken)) {
    expect(() => read(query), query).toThrow(message);
    expect(() => read(query), query).toThrow(LinkError);
  }
});

test('a link comes back from its address, however odd its files are called', () => {
  for (const query of ['?base=a%20b%26c.safetensors&base=b&delta=d%3Fx=1', '?model=https://x.example/m%25']) {
    const link = read(query) as Link;
    expect(readLink(linkTo(link, `${PAGE}?old=1#hash`))).toEqual(link);
  }
  expect(linkTo(read('?model=sample/t.bitx') as Link, PAGE)).toBe(`${PAGE}?model=sample%2Ft.bitx`);
});

test('files are named by their addresses', () => {
  expect(fileName(new URL('https://x.example/a/b%20c.bitx?token=1'))).toBe('b c.bitx');
  expect(fileName(new URL('https://x.example/'))).toBe('x.example');
  expect(fileName(new URL('https://x.example/%E0%A4'))).toBe('%E0%A4');
  expect(fileName(new URL('https://x.example/a/..%2Fb%5Cc.bitx'))).toBe('.._b_c.bitx');
});
