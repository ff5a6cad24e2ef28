/** A file that the caller reads, on the page's thread. */
export interface RangeSource {
  /** Length in bytes. */
  readonly size: number;
  /**
   * Resolves to exactly the bytes from `offset` on. Several ranges may be asked for at once; a range has seldom more
   * than 16 MiB. `signal` is aborted when the call that reads has ended.
   */
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>;
}
