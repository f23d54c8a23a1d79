// Tidemark's tracker: it sends a page's events to the API, and each of them is stored once (docs/tracker.md).
// The API serves this file without its comments and its indentation.
(() => {
  if (window.tidemark?.track) return;
  const script = document.currentScript, prefix = "tidemark:";
  // What this page knows, by name: its events that have no answer yet, as JSON by their id, and a few small values.
  // localStorage has the same, and what other pages and tabs know, each under a key of its own: so two tabs never
  // overwrite each other's events.
  const memory = new Map();
  const counts = { accepted: 0, rejected: 0, dropped: 0 };
  let options, target, timer, busy, here, referrer, person;
  let size = 0, chars = 0, most = 100, failures = 0, missed = 0, resume = 0, sequence = 0;

  const attempt = (job) => {
    try {
      return job();
    } catch {}
  };
  const tell = (kind, detail) => dispatchEvent(new CustomEvent("tidemark", { detail: { kind, ...detail } }));
  // Nothing here may ever throw into the page.
  const safe = (job) => (...given) => {
    try {
      return job(...given);
    } catch (error) {
      tell("error", { error });
    }
  };

  const stored = (name) => attempt(() => localStorage.getItem(prefix + name));
  const get = (name) => stored(name) ?? memory.get(name);
  const set = (name, text) => {
    memory.set(name, text);
    attempt(() => localStorage.setItem(prefix + name, text));
  };
  const remove = (name) => {
    memory.delete(name);
    attempt(() => localStorage.removeItem(prefix + name));
  };
  // All events that wait, of all tabs, the oldest first. Ids alone have a 7 there.
  const queue = () => {
    const all = new Map(memory);
    attempt(() => {
      for (const name of Object.keys(localStorage))
        if (name.startsWith(prefix)) all.set(name.slice(prefix.length), localStorage.getItem(name));
    });
    return [...all].filter(([id, text]) => text && id[14] === "7").sort(([one], [other]) => (one < other ? -1 : 1));
  };
  // Those that only this page has.
  const unsaved = () => queue().filter(([id]) => !stored(id));

  const allowed = () =>
    options &&
    navigator.doNotTrack !== "1" &&
    !navigator.globalPrivacyControl &&
    (get("consent") ?? options.consent) === "granted";
  // A UUIDv7. The 12 bits after its version count, so that ids of one millisecond are in the order of their events.
  const newId = () => {
    const [high, low] = crypto.getRandomValues(new Uint32Array(2));
    const hex = (number, length) => number.toString(16).padStart(length, 0).slice(-length);
    const text = hex(+new Date(), 12) + 7 + hex(++sequence, 3) + hex(2 ** 31 + (high >>> 2), 8) + hex(low, 8);
    return text.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };

  const track = (event, props) => {
    if (!allowed()) return;
    if (!get("user")) set("user", newId());
    const event_id = newId();
    const content = { event, user_id: get("user"), props, timestamp: new Date(), event_id };
    // Half a character (text that was cut within one) is no text for the API.
    const text = JSON.stringify(content).replace(/(\\\\)|\\ud[89a-f]../g, (_, pair) => pair ?? "\\ufffd");
    const fits = size < options.maxEvents && chars + text.length < 1e6;
    if (fits) {
      size++;
      chars += text.length;
      set(event_id, text);
    } else {
      counts.dropped++;
      set("dropped", ~~get("dropped") + 1);
    }
    tell(fits ? "queued" : "dropped", content);
    later(options.interval);
    if (fits) return event_id;
  };

  const later = (pause) => {
    timer ??= setTimeout(flush, pause);
  };
  // How long nothing may be sent: our own pause, or what Retry-After asked of any tab. If the clock was set meanwhile,
  // the time that was kept may be far away, and says nothing.
  const pauseLeft = () => {
    const asked = get("until") - Date.now();
    return Math.max(0, resume - performance.now(), asked < 36e5 && asked);
  };
  const flush = async () => {
    timer = null;
    if (busy) return later(options.interval);
    busy = true;
    try {
      // One tab sends at a time, for all of them. This only saves requests, as what is sent twice is stored once: so a
      // tab that does not give the lock back holds up the others for a while, and no longer.
      const locks = missed < 10 && navigator.locks;
      const sent = (lock) => {
        missed = lock ? 0 : missed + 1;
        return lock ? sendAll() : later(1e3);
      };
      await (locks ? locks.request(prefix, { ifAvailable: true }, sent) : sendAll());
    } catch {
      // Where the page has no right to locks.
      missed = 10;
      later(1e3);
    }
    busy = false;
  };
  const sendAll = async () => {
    while (allowed()) {
      unsaved().forEach((event) => set(...event));
      const all = queue();
      size = all.length;
      chars = `${all}`.length;
      const count = ~~get("dropped");
      if (size) {
        if (pauseLeft() || !(await send(all))) return later(pauseLeft());
      } else {
        if (!count) return;
        remove("dropped");
        if (!track("events_dropped", { count })) return;
      }
    }
  };
  // As many events as fit into one request.
  const bodyOf = (events) => {
    // A beacon may have 64 KiB.
    let length = 0;
    const end = events.findIndex(([, text], at) => at === most || ((length += text.length) > 6e4 && at));
    if (end > 0) events.length = end;
    return `[${events.map(([, text]) => text)}]`;
  };
  // Whether the next may be sent at once.
  const send = async (events) => {
    const body = bodyOf(events), signal = AbortSignal.timeout?.(30e3);
    const response = await fetch(target, { method: "POST", body, signal }).catch(() => {});
    const { accepted, rejected, code, error } = (await response?.json().catch(() => {})) ?? {};
    const status = response?.status;
    const settle = (outcome, event_id, reason) => {
      remove(event_id);
      counts[outcome]++;
      tell(outcome, { event_id, reason });
    };
    // Only an answer of the API itself counts: not that of a proxy, or of a hotel's login page.
    if (accepted + rejected?.length === events.length) {
      const kept = events.filter(([id], at) => {
        const { code, error } = rejected.find((each) => each.index === at) ?? {};
        return code === "unavailable" || settle(code ? "rejected" : "accepted", id, error);
      });
      most = Math.min(100, most * 2);
      if (!kept[0]) return !(failures = 0);
    }
    // Fewer may go where many do not: past a bound of the API, or where one event spoils the others.
    most = (events.length + 1) >> 1;
    if (code && [400, 413].includes(status)) {
      if (events.length < 2) settle("rejected", events[0][0], error);
      return true;
    }
    const after = response?.headers.get("retry-after");
    const asked = Math.min(36e5, Math.max(0, (after > 0 ? after * 1e3 : Date.parse(after) - Date.now()) || 0));
    set("until", Date.now() + asked);
    const pause_ms = asked + Math.min(60, 2 ** failures++) * (500 + 500 * Math.random());
    resume = performance.now() + pause_ms;
    tell("waiting", { pause_ms, status, reason: error });
  };
  // The page is hidden or goes away, perhaps for ever. What a beacon carries stays in the queue, as no answer comes.
  const depart = safe(() => {
    if (!document.hidden || !allowed()) return;
    const events = pauseLeft() ? unsaved() : queue();
    while (events.length && !navigator.sendBeacon(target, bodyOf(events))) events.length >>= 1;
  });

  const address = () => location.pathname + location.hash.replace(/^#[^!/].*/, "");
  const page = (props) => {
    const before = here;
    here = address();
    if (before && before !== here) referrer = before;
    return track("page_view", { url: here, referrer, ...props });
  };
  const identify = (id) => {
    person = id;
    if (!allowed()) return;
    const before = get("user");
    set("user", `${id ?? ""}` || newId());
    if (id && before && before !== get("user")) track("identify", { previous_id: before });
  };
  const clear = () => {
    queue().forEach(([id]) => remove(id));
    ["user", "dropped"].forEach(remove);
  };
  const consent = (granted) => {
    const before = allowed();
    set("consent", granted ? "granted" : "denied");
    if (!granted) clear();
    else if (!before) {
      if (person) identify(person);
      if (here) page();
    }
  };

  const init = (given) => {
    if (options) return;
    const endpoint = new URL(".", script?.src || location.origin).href;
    options = { endpoint, key: "", consent: "granted", interval: 500, maxEvents: 1000, pageViews: true, ...given };
    target = options.endpoint.replace(/\/*$/, "/track/batch?write_key=") + encodeURIComponent(options.key);
    referrer = document.referrer.split("?")[0].replace(location.origin + "/", "/") || undefined;
    addEventListener("pagehide", depart);
    addEventListener("visibilitychange", depart);
    addEventListener("online", () => {
      resume = failures = 0;
      flush();
    });
    // Another tab has had an answer for the event, or its visitor has withdrawn the consent.
    addEventListener("storage", ({ key, newValue }) => {
      if (key === prefix + "consent" && newValue === "denied") clear();
      if (!newValue) memory.delete(key?.slice(prefix.length));
    });
    // What an earlier page left behind.
    later(0);
    if (`${options.pageViews}` === "false") return;
    const moved = safe(() => here !== address() && page());
    for (const name of ["pushState", "replaceState"]) {
      const original = history[name];
      history[name] = (...given) => {
        original.apply(history, given);
        moved();
      };
    }
    addEventListener("popstate", moved);
    // Brought back as it was, by the browser's button.
    addEventListener("pageshow", safe(({ persisted }) => persisted && page()));
    page();
  };

  const stats = () => ({ ...counts, unsaved: unsaved().length, queued: queue().length });
  const tidemark = { init, track, identify, page, consent, flush, stats };
  for (const name in tidemark) tidemark[name] = safe(tidemark[name]);
  window.tidemark = tidemark;
  // One data- attribute of the script element is enough to start it.
  for (const _ in script?.dataset) tidemark.init(script.dataset);
})();
