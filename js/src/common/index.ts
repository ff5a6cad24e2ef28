/**
 * The modules that all entry points share. The build bundles them into one script, `common.js`,
 * which all other scripts import: classes such as `BitxError` exist once, and a page downloads the
 * code once. Modules outside this folder import from this file only, and modules inside it do not
 * use the codec, the cache or the hub.
 */
export { type Port, type Running, WorkerHost } from './call/worker.js';
export { openUrl } from './net/http.js';
export * from './page.js';
