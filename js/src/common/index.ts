/**
 * The modules that all entry points share. The build bundles them into one script, `common.js`,
 * which all other scripts import: classes such as `BitxError` exist once, and a page downloads the
 * code once. Modules outside this folder import from this file only, and modules inside it do not
 * use the codec, the cache or the hub.
 */
export { sleep } from './abort.js';
export { free } from './bytes.js';
export { ask } from './call/rpc.js';
export { type Port, type Running, WorkerHost } from './call/worker.js';
export { fromWire, toWire } from './errors.js';
export { openUrl } from './net/http.js';
export { isStrong } from './net/identity.js';
export { Patience, refusal, Transient } from './net/patience.js';
export { fetchRange } from './net/ranges.js';
export { Restart } from './net/remote.js';
export * from './page.js';
export { Parts } from './parts.js';
