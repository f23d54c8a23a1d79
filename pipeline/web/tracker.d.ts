/** Types of Tidemark's tracker (`/tracker.js`), which is `window.tidemark` once it is loaded. See docs/tracker.md. */

export interface TidemarkOptions {
  /** The API's address. Default: the one that the script came from. */
  endpoint?: string;
  /** A write key, where the API asks for one. */
  key?: string;
  /** "required": nothing is recorded before `consent(true)`. Default: "granted". */
  consent?: "granted" | "required";
  /** Whether page views are tracked, also where a page changes its address itself. Default: true. */
  pageViews?: boolean;
  /** How long events gather before they are sent, in milliseconds. Default: 500. */
  interval?: number;
  /** How many events may wait; what comes beyond that is dropped and counted. Default: 1000. */
  maxEvents?: number;
}

export interface TidemarkStats {
  /** Events that the API has acknowledged for this page, those of other tabs that it sent included. */
  accepted: number;
  /** Events that the API refused for ever. */
  rejected: number;
  /** Events that found the queue full. */
  dropped: number;
  /** Events that only this page's memory holds, because localStorage did not take them. */
  unsaved: number;
  /** Events that wait, of all tabs. */
  queued: number;
}

export interface TidemarkEvent {
  event: string;
  user_id: string;
  props?: Record<string, unknown>;
  timestamp: Date;
  event_id: string;
}

/** What the event "tidemark" of `window` has as its `detail`. */
export type TidemarkNews =
  | ({ kind: "queued" | "dropped" } & TidemarkEvent)
  | { kind: "accepted"; event_id: string }
  | { kind: "rejected"; event_id: string; reason: string }
  /** The API could not take events now; `status` is undefined where nothing answered. */
  | { kind: "waiting"; pause_ms: number; status?: number; reason?: string }
  /** A mistake in what the page asked for, such as props that JSON cannot hold. */
  | { kind: "error"; error: unknown };

export interface Tidemark {
  /** Start the tracker; once a page, further calls do nothing. */
  init(options?: TidemarkOptions): void;
  /** Queue an event and give its id; undefined where it was not taken. */
  track(event: string, props?: Record<string, unknown>): string | undefined;
  /** Name the user of all further events; null at the sign-out. */
  identify(userId: string | null): void;
  /** Track a page view; `props` may replace `url` and `referrer`. */
  page(props?: Record<string, unknown>): string | undefined;
  /** Record the visitor's decision. `false` also deletes what waits and the visitor's id. */
  consent(granted: boolean): void;
  /** Send what waits now, unless the API has asked to wait. */
  flush(): Promise<void>;
  stats(): TidemarkStats;
}

declare global {
  interface Window {
    tidemark: Tidemark;
  }
  interface WindowEventMap {
    tidemark: CustomEvent<TidemarkNews>;
  }
  const tidemark: Tidemark;
}
