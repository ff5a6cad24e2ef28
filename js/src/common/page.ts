/**
 * The shared modules that pages use. In Node, the build bundles only these into `node-common.js`;
 * the workers there run the browsers' scripts.
 */
export { abortable, abortError, onAbort, orAbortError, sleep } from './abort.js';
export { absolute } from './address.js';
export { type Bytes, free } from './bytes.js';
export type { Call, FromWorker, Operations, ToWorker } from './call/messages.js';
export { answer, ask, type Question } from './call/rpc.js';
export { type CallContext, type Peer, WorkerClient } from './call/worker-client.js';
export {
  BitxError,
  type BitxErrorCode,
  type BitxErrorFigures,
  fromWire,
  messageOf,
  toWire,
  type WireError,
} from './errors.js';
export { fetchWhole } from './net/http.js';
export { isStrong, type Validator } from './net/identity.js';
export { Patience, type Refusal, refusal, TRANSFERS, Transient } from './net/patience.js';
export { fetchRange } from './net/ranges.js';
export { type Answer, declaredLength, Remote, type RemoteOptions, Restart } from './net/remote.js';
export { type Report, spool } from './net/spool.js';
export { Transfer } from './net/transfer.js';
export { Parts } from './parts.js';
export type { RangeSource } from './range-source.js';
export { availableStorage, sumOf } from './storage.js';
