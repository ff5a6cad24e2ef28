/**
 * The kind of a failure, for programs. Later versions may add codes but never change the meaning of
 * one.
 */
export type BitxErrorCode =
  /** The file is of the wrong kind, such as an HTML page or a git-lfs pointer. */
  | 'format'
  /** The file's parts contradict each other. */
  | 'corrupt'
  /** The file ends too early. */
  | 'truncated'
  /** The file is sound but needs something that this version does not have. */
  | 'unsupported'
  /** The delta was made from another base. */
  | 'base-mismatch'
  /** A size in the file exceeds the most that this library allocates. */
  | 'limit'
  /** An argument of the call is invalid. */
  | 'invalid-argument'
  /** The caller's signal was aborted. `cause` holds the signal's reason. */
  | 'aborted'
  /** A download failed. Failures that may be temporary were retried first. */
  | 'network'
  /** A file changed while the call was reading it. */
  | 'changed'
  /** Neither the threaded nor the single-threaded build could be started. */
  | 'start-failed'
  /** `dispose()` was called. */
  | 'disposed'
  /** A file could not be read or the output could not be written. `cause` holds the reason. */
  | 'io'
  /** The browser grants too little storage: the call needs `need` bytes, and `have` are left. */
  | 'quota'
  /** A file does not have the required digest: see `expected` and `found`. */
  | 'integrity'
  /** A stored file is open in another tab or program. */
  | 'locked'
  /** The hub requires a token, or does not know the one that was sent. */
  | 'unauthorized'
  /** The token does not permit the operation. */
  | 'forbidden'
  /** The hub has no such model or file, or does not show it to this token. */
  | 'not-found'
  /** The hub already has something else under that name. */
  | 'conflict'
  /** A fault in the library itself. The next call starts on a fresh worker. */
  | 'internal';

/** The figures that may accompany an error. */
export interface BitxErrorFigures {
  /** The input at fault: `base`, `delta`, `target`, `graph`, `adapter` or `config`. */
  file?: string;
  /** The tensor at fault. */
  tensor?: string;
  /** The place in the file, in bytes. */
  offset?: number;
  /** The expected figure. */
  expected?: number | string;
  /** The figure that was found instead. */
  found?: number | string;
  /** The address of a failed download. */
  url?: string;
  /** The HTTP status of a failed download. */
  status?: number;
  /** Bytes of storage that a call needs. */
  need?: number;
  /** Bytes of storage that the browser still grants, if it reports them. */
  have?: number;
}

const FIGURES = ['file', 'tensor', 'offset', 'expected', 'found', 'url', 'status', 'need', 'have'] as const;

/** The error of every call of this library that fails. */
export class BitxError extends Error implements BitxErrorFigures {
  override readonly name = 'BitxError';
  readonly code: BitxErrorCode;
  declare readonly file?: string;
  declare readonly tensor?: string;
  declare readonly offset?: number;
  declare readonly expected?: number | string;
  declare readonly found?: number | string;
  declare readonly url?: string;
  declare readonly status?: number;
  declare readonly need?: number;
  declare readonly have?: number;

  constructor(code: BitxErrorCode, message: string, options: BitxErrorFigures & { cause?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    Object.assign(this, figuresOf(options));
  }
}

/** An error in a form that messages can carry: classes do not survive them. */
export interface WireError {
  code: BitxErrorCode;
  message: string;
  figures: BitxErrorFigures;
  cause?: Error;
}

/**
 * Converts any thrown value to its wire form. Values without a code are faults of this library and
 * get the code `internal`.
 */
export function toWire(thrown: unknown): WireError {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const wire: WireError = { code: codeOf(error), message: error.message, figures: figuresOf(error) };
  const { cause } = error;
  return cause instanceof Error ? { ...wire, cause } : wire;
}

export function fromWire({ code, message, figures, cause }: WireError): BitxError {
  return new BitxError(code, message, cause ? { ...figures, cause } : figures);
}

/** Returns the message of any thrown value. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

function codeOf(error: Error): BitxErrorCode {
  return 'code' in error && typeof error.code === 'string' ? (error.code as BitxErrorCode) : 'internal';
}

function figuresOf(from: object): BitxErrorFigures {
  const known = from as Record<string, unknown>;
  return Object.fromEntries(
    FIGURES.filter((key) => known[key] !== undefined).map((key) => [key, known[key]]),
  );
}
