import { BitxError } from '../common/index.js';

/** Digests of a file, in hex. */
export interface Digests {
  sha256: string;
  blake3: string;
}

/** A digest that a file must have. */
export interface Integrity {
  algorithm: keyof Digests;
  hex: string;
}

const DIGEST_BYTES = 32;
const NAMED = /^(sha256|blake3)[-:](.+)$/i;
const HEX = /^[0-9a-f]{64}$/i;

/**
 * Parses a digest: `sha256-…` or `blake3-…` in base64 or hex, or bare or quoted hex, the form in
 * which hubs publish SHA-256. Returns undefined for anything else.
 */
export function parseIntegrity(text: string): Integrity | undefined {
  const bare = text.trim().replace(/^(?:W\/)?"(.*)"$/, '$1');
  const [, algorithm = 'sha256', digest = bare] = NAMED.exec(bare) ?? [];
  const named = bare !== digest;
  const hex = HEX.test(digest) ? digest.toLowerCase() : named ? hexOfBase64(digest) : undefined;
  return hex === undefined ? undefined : { algorithm: algorithm.toLowerCase() as keyof Digests, hex };
}

/** Returns `true` if a file has the digest. */
export function fits(digests: Digests, { algorithm, hex }: Integrity): boolean {
  return digests[algorithm] === hex;
}

/** Parses a digest that a caller requires; throws unless it is one. */
export function requiredDigest(text: string): Integrity {
  const integrity = typeof text === 'string' ? parseIntegrity(text) : undefined;
  if (integrity) return integrity;
  throw new BitxError('invalid-argument', `${text} is neither a SHA-256 nor a BLAKE3 digest`);
}

/** Throws if a file does not have the required digest; `name` names the file. */
export function requireFit(name: string, digests: Digests, required: Integrity | undefined): void {
  if (!required || fits(digests, required)) return;
  const { algorithm, hex: expected } = required;
  const figures = { url: name, expected, found: digests[algorithm] };
  throw new BitxError('integrity', `${name} does not have the required ${algorithm}`, figures);
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function hexOfBase64(text: string): string | undefined {
  try {
    const standard = text.replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(standard), (char) => char.charCodeAt(0));
    return bytes.length === DIGEST_BYTES ? toHex(bytes) : undefined;
  } catch {
    return undefined;
  }
}
