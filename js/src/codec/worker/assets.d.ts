/** An archive that the build makes and bundles. */
declare module '*.bitx' {
  const bytes: Uint8Array<ArrayBuffer>;
  export default bytes;
}
