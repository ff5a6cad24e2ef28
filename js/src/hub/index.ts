/**
 * The client of a `bitx serve`.
 *
 * @module bitx-wasm/hub
 */
export { BitxHub } from './hub.js';
export type {
  HubBase,
  HubCallOptions,
  HubFiles,
  HubModel,
  HubOptions,
  HubPlan,
  HubPlannedFile,
  HubPlannedPush,
  HubPlanOptions,
  HubProgress,
  HubPullOptions,
  HubPushBase,
  HubPushedFile,
  HubPushFile,
  HubPushOptions,
  HubPushPlan,
  HubPushPlanOptions,
  HubPushResult,
} from './types.js';
