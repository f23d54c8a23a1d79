// Tidemark's tracker: it sends a page's events to the API, and each of them is stored once (docs/tracker.md).
// The API serves this file without its comments and the spaces that mean nothing.
(() => {
  if (window.tidemark?.track) return;
  const script = document.currentScript, prefix = "tidemark:",
    options = { endpoint: "", key: "", consent: "granted", interval: 500, maxEvents: 1000, pageViews: true },
    counts = { accepted: 0, rejected: 0, dropped: 0 },
    // What this page knows, by name: its events that have no answer yet, as JSON by their id, and a few small values.
    // localStorage has the same, and what other pages and tabs know, each under a key of its own: so two tabs never
    // overwrite each other's events.
    memory = new Map();
  let target, timer, busy, here, referrer, person;
  let size = 0, chars = 0, most = 100, first = 0, failures = 0, missed = 0, resume = 0, sequence = 0;

  const attempt = (job) => {
    try {
      return job();
    } catch {}
  };
  const report = (kind, detail) =>
    attempt(() => dispatchEvent(new CustomEvent("tidemark", { detail: { kind, ...detail } })));
  // Nothing here may ever throw into the page.
  const safe = (job) => (...given) => {
    try {
      return job(...given);
    } catch (error) {
      report("error", { error });
    }
  };

  const storage = (method, name, text) => attempt(() => localStorage[method](prefix + name, text));
  const stored = (name) => storage("getItem", name);
  const get = (name) => stored(name) || memory.get(name);
  const set = (name, text) => {
    memory.set(name, text);
    storage("setItem", name, text);
    // A storage that is full must not keep the value of before.
    if (stored(name) !== text) storage("removeItem", name);
    return text;
  };
  const remove = (name) => {
    memory.delete(name);
    storage("removeItem", name);
  };
  // All events that wait, of all tabs, the oldest first. Ids alone are that long; what does not hold its own id was
  // put there by somebody else, and is neither sent nor removed.
  const queue = () => {
    const all = new Map(memory);
    attempt(() => {
      for (const name of Object.keys(localStorage))
        if (name.startsWith(prefix)) all.set(name.slice(prefix.length), localStorage[name]);
    });
    return [...all]
      .filter(([id, text]) => id[35] && text?.includes(id))
      .sort(([one], [other]) => (one < other ? -1 : 1));
  };
  // Those that only this page has.
  const unsaved = () => queue().filter(([id]) => !stored(id));

  const allowed = () =>
    target &&
    navigator.doNotTrack !== "1" &&
    !navigator.globalPrivacyControl &&
    (get("consent") || options.consent) === "granted";
  // A UUIDv7 with 60 random bits. Its third group counts: so ids of one millisecond are in the order of their events.
  const newId = () => {
    const [high, low] = crypto.getRandomValues(new Uint32Array(2));
    const hex = (number, length) => (16 ** length + number).toString(16).slice(-length);
    const time = hex(Date.now(), 12).replace(/.{8}/, "$&-");
    return `${time}-7${hex(++sequence, 3)}-8${hex(high, 3)}-${hex(high >>> 12, 4)}${hex(low, 8)}`;
  };

  const track = (event, props) => {
    if (!allowed()) return;
    const user_id = get("user") || get("visitor") || set("visitor", newId());
    const event_id = newId();
    const content = { event, user_id, props, timestamp: new Date(), event_id };
    // Half a character (text that was cut within one) is no text for the API.
    const text = JSON.stringify(content).replace(/\\\\|\\ud.../g, (found) => (found[2] ? "\\ufffd" : found));
    const fits = size < (+options.maxEvents || 1e3) && chars + text.length < 1e6;
    if (fits) {
      size++;
      chars += text.length;
      set(event_id, text);
    } else {
      counts.dropped++;
      set("dropped", `${~~get("dropped") + 1}`);
    }
    report(fits ? "queued" : "dropped", content);
    later(options.interval);
    if (fits) return event_id;
  };

  const later = (pause_ms = pauseLeft()) => {
    timer ??= setTimeout(flush, pause_ms);
  };
  // How long nothing may be sent: our own pause, or what Retry-After asked of any tab. If the clock was set meanwhile,
  // the time that was kept may be far away, and says nothing.
  const pauseLeft = () => {
    const asked = get("until") - Date.now();
    return Math.max(0, resume - performance.now(), asked < 36e5 && asked);
  };
  const pause = (asked, status, reason) => {
    asked = Math.min(36e5, asked > 0 && asked);
    const pause_ms = asked + Math.min(60, 2 ** failures++) * (500 + 500 * Math.random());
    resume = performance.now() + pause_ms;
    if (asked) set("until", `${Date.now() + asked}`);
    report("waiting", { pause_ms, status, reason });
  };
  const flush = async () => {
    timer = clearTimeout(timer);
    if (busy) return later(options.interval);
    busy = true;
    try {
      // One tab sends at a time, for all of them. This only saves requests, as what is sent twice is stored once: so a
      // tab that does not give the lock back holds up the others for a while, and no longer.
      const locks = missed < 10 && navigator.locks;
      const sent = (lock) => ((missed = lock ? 0 : missed + 1) ? later(1e3) : sendAll());
      await (locks ? locks.request(prefix, { ifAvailable: true }, sent) : sendAll());
    } catch {
      // The page has no right to locks, or something here was replaced by what does not work.
      missed = 10;
      pause();
      later();
    }
    busy = false;
  };
  const sendAll = async () => {
    while (allowed()) {
      unsaved().forEach((event) => set(...event));
      const all = queue();
      size = all.length;
      chars = `${all}`.length;
      if (!size) {
        const count = ~~get("dropped");
        remove("dropped");
        if (!count || !track("events_dropped", { count })) return;
      } else if (pauseLeft() || !(await send(some(all.slice((first %= size)))))) return later();
    }
  };
  // The first events, as many as fit into one request. A beacon may have 64 KiB.
  const some = (events) => {
    let length = 0;
    return events.filter(([, text], at) => ((length += text.length) < 6e4 && at < most) || !at);
  };
  const bodyOf = (events) => `[${events.map(([, text]) => text)}]`;
  // Status, Retry-After and JSON of the answer; fails where there is none within half a minute.
  const post = async (events) => {
    const response = await fetch(target, { method: "POST", body: bodyOf(events), signal: AbortSignal.timeout?.(3e4) });
    const { status, headers } = response;
    return { ...(await response.json().catch(() => {})), status, after: headers.get("retry-after") };
  };
  // Whether the next may be sent at once.
  const send = async (events) => {
    const { status, after, accepted, rejected, code, error } = (await post(events).catch(() => {})) ?? {};
    const settle = (outcome, event_id, reason) => {
      remove(event_id);
      counts[outcome]++;
      report(outcome, { event_id, reason });
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
    const spoils = /^body|_(json|batch|events)$/.test(code);
    // What lies between here and the API may refuse one event for ever: the others pass it by.
    if (events.length < 2) spoils ? settle("rejected", events[0][0], error) : first++;
    return spoils || pause(after > 0 ? after * 1e3 : Date.parse(after) - Date.now(), status, error);
  };
  // The page is hidden or goes away, perhaps for ever. What a beacon carries stays in the queue, as no answer comes.
  const depart = safe(() => {
    if (!document.hidden || !allowed()) return;
    const left = pauseLeft() ? unsaved() : queue();
    while (left[0]) {
      const events = some(left);
      if (navigator.sendBeacon(target, bodyOf(events))) left.splice(0, events.length);
      else left.length = events.length >> 1;
    }
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
    const user = `${id ?? ""}`, before = get("user"), previous_id = get("visitor");
    if (user) {
      set("user", user);
      // Whoever was known before is another person.
      if (previous_id && !before) track("identify", { previous_id });
    } else if (before) ["user", "visitor"].forEach(remove);
  };
  const clear = () => {
    queue().forEach(([id]) => remove(id));
    ["user", "visitor", "dropped"].forEach(remove);
    size = chars = 0;
  };
  const consent = (granted) => {
    const before = allowed();
    granted = granted === true;
    // A page that the browser had put aside does not hear of a withdrawal, and may still have what was deleted.
    if (!granted || get("consent") === "denied") clear();
    set("consent", granted ? "granted" : "denied");
    if (granted && !before) {
      if (person) identify(person);
      if (here) page();
    }
  };

  const init = (given) => {
    if (target) return;
    for (const name in options) options[name] = given?.[name] ?? options[name];
    const path = "/track/batch?write_key=" + encodeURIComponent(options.key);
    target = `${options.endpoint || new URL(".", script?.src || location.origin)}`.replace(/\/*$/, path);
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
    // A page that the browser only prepares, in case that the visitor goes there, has no view yet.
    const moved = safe(() => !document.prerendering && here !== address() && page());
    for (const name of ["pushState", "replaceState"]) {
      const original = history[name];
      history[name] = (...given) => {
        original.apply(history, given);
        moved();
      };
    }
    addEventListener("popstate", moved);
    // Brought back as it was, by the browser's button.
    addEventListener("pageshow", ({ persisted }) => persisted && tidemark.page());
    document.addEventListener("prerenderingchange", moved);
    moved();
  };

  const stats = () => ({ ...counts, unsaved: unsaved().length, queued: queue().length });
  const tidemark = { init, track, identify, page, consent, flush, stats };
  for (const name in tidemark) tidemark[name] = safe(tidemark[name]);
  window.tidemark = tidemark;
  // One attribute of ours on the script element is enough to start it; other tools put theirs there.
  for (const name in options) if (script?.dataset[name] != null) tidemark.init(script.dataset);
})();
