import { expect, test } from 'vitest';
import { fits, parseIntegrity, toHex } from './integrity.js';

const HEX = '00ff'.repeat(16);
const BASE64 = btoa(String.fromCharCode(...Array.from({ length: 32 }, (_, i) => (i % 2 ? 255 : 0))));

test.each([
  [`sha256-${BASE64}`, 'sha256', HEX],
  [`sha256-${HEX}`, 'sha256', HEX],
  [`sha256:${HEX.toUpperCase()}`, 'sha256', HEX],
  [`BLAKE3-${HEX}`, 'blake3', HEX],
  [`blake3-${BASE64.replaceAll('/', '_').replace(/=+$/, '')}`, 'blake3', HEX],
  [HEX, 'sha256', HEX],
  [` "${HEX}" `, 'sha256', HEX],
  [`W/"${HEX}"`, 'sha256', HEX],
])('%s is a digest', (text, algorithm, hex) => {
  expect(parseIntegrity(text)).toEqual({ algorithm, hex });
});

test.each([
  '',
  'sha256-',
  HEX.slice(2),
  `${HEX}00`,
  `sha512-${HEX}`,
  `sha256-${HEX.slice(2)}`,
  `sha256-${btoa('too short')}`,
  // Hubs do not publish base64 without a name.
  BASE64,
  '"5d8c72a5054e07c0a1b5f2e8d1a6b2c4-12"',
])('%s is none', (text) => {
  expect(parseIntegrity(text)).toBeUndefined();
});

test('a file is compared by the required digest', () => {
  const digests = { sha256: HEX, blake3: 'ab'.repeat(32) };
  expect(fits(digests, { algorithm: 'sha256', hex: HEX })).toBe(true);
  expect(fits(digests, { algorithm: 'blake3', hex: HEX })).toBe(false);
});

test('hex has two digits for each byte', () => {
  expect(toHex(Uint8Array.of(0, 10, 255))).toBe('000aff');
});
