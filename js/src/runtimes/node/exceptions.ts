/** Converts errors of the disk to the exceptions that browsers throw. */

/** The names of the exceptions, by the error's code. */
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
