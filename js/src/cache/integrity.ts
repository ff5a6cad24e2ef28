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
