/** A file that the caller's code reads, on the page's thread. */
export interface RangeSource {
  /** Length in bytes. */
  readonly size: number;
  /**
   * Resolves to exactly `length` bytes from `offset` on. Calls may overlap; a range is rarely
   * longer than 16 MiB. `signal` is aborted when the call that reads has ended.
   */
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>;
}
