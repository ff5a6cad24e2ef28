/**
 * The shared modules that pages use. In Node, the build bundles only these into `node-common.js`;
 * the workers there run the browsers' scripts.
 */
export { abortable, abortError, onAbort } from './abort.js';
export { absolute } from './address.js';
export type { Bytes } from './bytes.js';
export type { Call, FromWorker, Operations, ToWorker } from './call/messages.js';
export { answer, type Question } from './call/rpc.js';
export { startWorker } from './call/start-worker.js';
export { type CallContext, type Peer, requireWorkers, WorkerClient } from './call/worker-client.js';
export {
  BitxError,
  type BitxErrorCode,
  type BitxErrorFigures,
  messageOf,
  type WireError,
} from './errors.js';
export { fetchWhole } from './net/http.js';
export type { Validator } from './net/identity.js';
export { TRANSFERS } from './net/patience.js';
export { type Answer, declaredLength, Remote, type RemoteOptions } from './net/remote.js';
export { type Report, spool } from './net/spool.js';
export { Transfer } from './net/transfer.js';
export { checkChoice, checkOptions, checkWhole } from './options.js';
export { DISPOSE } from './platform.js';
export type { RangeSource } from './range-source.js';
