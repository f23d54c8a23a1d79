/** Types of Tidemark's tracker (`/tracker.js`), which is `window.tidemark` once it is loaded. See docs/tracker.md. */

export interface TidemarkOptions {
  /** The API's address, such as "https://events.example". Default: the one that the script came from. */
  endpoint?: string;
  /** A write key, where the API asks for one. */
  key?: string;
  /** "required": nothing is recorded before `consent(true)`. Default: "granted". */
  consent?: "granted" | "required";
  /** Whether page views are tracked, also where a page changes its address itself. Default: true. */
  pageViews?: boolean;
  /** How long events gather before they are sent, in milliseconds. Default: 500. */
  interval?: number;
  /** How many events may wait, at least 1; what comes beyond that is dropped and counted. Default: 1000. */
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

/** The `detail` of the event "tidemark" that `window` has at each change. */
export type TidemarkNews =
  | ({ kind: "queued" | "dropped" } & TidemarkEvent)
  | { kind: "accepted"; event_id: string }
  | { kind: "rejected"; event_id: string; reason: string }
  /** The API could not take events now; `status` is undefined where nothing answered. */
  | { kind: "waiting"; pause_ms: number; status?: number; reason?: string }
  /** A mistake in what the page asked for, such as props that JSON cannot hold. */
  | { kind: "error"; error: unknown };

export interface Tidemark {
  /** Start the tracker, before any other call. Only the first start of a page counts. */
  init(options?: TidemarkOptions): void;
  /** Queue an event. Returns its id; undefined without consent, with Do Not Track, a full queue or props without JSON. */
  track(event: string, props?: Record<string, unknown>): string | undefined;
  /** Name the user of all further events; null at the sign-out, which also makes a new visitor. */
  identify(userId: string | null): void;
  /** Track a page view. `props` may replace `url` and `referrer`. */
  page(props?: Record<string, unknown>): string | undefined;
  /** Keep the visitor's decision. `false` also deletes what waits, the user and the visitor's id. */
  consent(granted: boolean): void;
  /** Send what waits now, except during a pause: the API's, or the tracker's own after an attempt that failed. */
  flush(): Promise<void>;
  /** The page's counts. */
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
