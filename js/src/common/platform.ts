/// <reference lib="esnext.disposable" preserve="true" />
/** The parts of the platform that some browsers, or some programs' types, lack. */

declare global {
  // Programs without the types of the DOM check against these, which otherwise add nothing.
  interface ErrorEvent {}
  interface FileSystemDirectoryHandle {
    readonly kind: 'directory';
  }
  interface FileSystemFileHandle {
    readonly kind: 'file';
  }
  interface MessagePort {}
}

/**
 * The key of the method that `using` calls. Browsers without `using` also lack the symbol, for
 * which compilers then put this one.
 */
export const DISPOSE: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for('Symbol.dispose') as typeof Symbol.dispose);
