/** Failures of the disk, as browsers tell of them. */

/** The names that browsers give to these failures. */
const NAMES: Record<string, string> = { ENOENT: 'NotFoundError', ENOSPC: 'QuotaExceededError' };

export function attempt<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw exception(error);
  }
}

export async function named<T>(promise: Promise<T>): Promise<T> {
  return promise.catch((error: unknown) => {
    throw exception(error);
  });
}

function exception(error: unknown): DOMException {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new DOMException(message, NAMES[code] ?? 'InvalidStateError');
}
