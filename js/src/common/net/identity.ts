/** The headers that tell one version of a file from another. */
export interface Validator {
  etag: string | undefined;
  modified: string | undefined;
}

/**
 * Returns `true` if parts of a file that were fetched at different times are certain to belong
 * together.
 */
export function isStrong(validator: Validator): boolean {
  return isSame(validator, validator);
}

/** Returns `true` if two validators prove that they name the same version. */
export function isSame(a: Validator, b: Validator): boolean {
  const key = a.etag === undefined || a.etag.startsWith('W/') ? 'modified' : 'etag';
  return a[key] !== undefined && a[key] === b[key];
}

/** Reads the validator of an answer. */
export function validatorOf(headers: Headers): Validator {
  return {
    etag: headers.get('etag') ?? undefined,
    modified: headers.get('last-modified') ?? undefined,
  };
}

/**
 * Returns `true` if two validators name different versions. A header that one of them lacks says
 * nothing.
 */
export function differ(a: Validator, b: Validator): boolean {
  if (a.etag !== undefined && b.etag !== undefined) return a.etag !== b.etag;
  return a.modified !== undefined && b.modified !== undefined && a.modified !== b.modified;
}
