// The list beside the shop: each event's way, and how long it took. It hears of queued and accepted events from the
// tracker, and asks the API which of them are stored (/demo/stored, which is there only with the shop).
(() => {
  "use strict";
  const KEPT = "demo-events", MOST_ROWS = 200, MOST_IDS = 100, PAUSE_MS = 1000;
  const find = (name) => document.querySelector(`[data-${name}]`);
  // One clock for all pages of this tab; unlike Date.now() nobody can set it.
  const now = () => performance.timeOrigin + performance.now();
  const rows = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  let asking = false, due = 0, notice = "";

  const rowOf = (id) => rows.find((each) => each.id === id);
  const isOnItsWay = (row) => !row.stored && !row.refused;
  const keep = () => sessionStorage.setItem(KEPT, JSON.stringify(rows));
  // Fifty events at once are drawn once.
  const changed = () => {
    rows.splice(MOST_ROWS);
    due ||= requestAnimationFrame(() => {
      due = 0;
      keep();
      show();
    });
  };
  addEventListener("pagehide", keep);

  const duration = (from, to) => (to - from < 9999 ? `${Math.round(to - from)} ms` : `${Math.round((to - from) / 1000)} s`);
  const element = (tag, kind, text, ...inner) => {
    const made = document.createElement(tag);
    made.className = kind;
    made.textContent = text;
    made.append(...inner);
    return made;
  };
  const step = (row, name) => {
    const reached = row[name] !== undefined;
    const time = reached && name !== "queued" ? `+${duration(row.queued, row[name])}` : "";
    return element("li", reached ? "reached" : "", name, element("span", "time", time));
  };
  const line = (row) => {
    const head = element("div", "head", "", element("b", "type", row.event), element("span", "detail", row.detail));
    if (row.stored) head.append(element("span", "latency", duration(row.queued, row.stored)));
    const way = row.refused
      ? element("p", "refused", row.refused)
      : element("ol", "way", "", ...["queued", "accepted", "stored"].map((name) => step(row, name)));
    return element("li", "", "", head, way);
  };
  const median = (numbers) => numbers.sort((one, other) => one - other)[numbers.length >> 1];
  const show = () => {
    const stored = rows.filter((row) => row.stored);
    const latency = stored.length ? `${Math.round(median(stored.map((row) => row.stored - row.queued)))} ms` : "–";
    const figures = {
      queued: rows.length,
      accepted: rows.filter((row) => row.accepted).length,
      stored: stored.length,
      median: latency,
    };
    for (const [name, figure] of Object.entries(figures)) document.querySelector(`[data-figure=${name}]`).textContent = figure;
    find("brief").textContent = rows.length ? `${stored.length} of ${rows.length} stored, ${latency}` : "none yet";
    find("empty").hidden = rows.length > 0;
    find("events").hidden = !rows.length;
    find("clear").disabled = !rows.length;
    find("events").replaceChildren(...rows.map(line));
    find("notice").hidden = !notice;
    if (find("notice").textContent !== notice) find("notice").textContent = notice;
  };

  const detailOf = ({ url, product, plan, total, previous_id: before, place }) =>
    url ?? product ?? plan ?? (total !== undefined ? `€ ${total}` : before ? "was anonymous" : place ? `no. ${place}` : "");
  const heard = {
    queued: (news) =>
      rows.unshift({ id: news.event_id, event: news.event, detail: `${detailOf(news.props ?? {})}`, queued: now() }),
    dropped: (news) =>
      rows.unshift({ id: news.event_id, event: news.event, detail: "", queued: now(), refused: "dropped: the queue is full" }),
    accepted: ({ event_id: id }) => {
      const row = rowOf(id);
      if (row) row.accepted ??= now();
      notice = "";
    },
    rejected: ({ event_id: id, reason }) => {
      const row = rowOf(id);
      if (row) row.refused = `rejected: ${reason}`;
    },
    waiting: ({ pause_ms: pause, status, reason }) => {
      const what = status ? `The API answered ${status}${reason ? ` (${reason})` : ""}.` : "Nothing answers.";
      const remedy = status === 401 ? " Open /demo?write_key=YOUR_KEY with one of its write keys." : "";
      notice = `${what}${remedy} The events wait in this browser; next attempt in ${Math.ceil(pause / 1000)} s.`;
    },
    error: ({ error }) => (notice = `The tracker could not take that: ${error}`),
  };
  addEventListener("tidemark", ({ detail }) => {
    heard[detail.kind]?.(detail);
    changed();
    ask();
  });

  const pause = (time_ms) => new Promise((done) => setTimeout(done, time_ms));
  // Those that are accepted, and those that another tab or a beacon may have brought there.
  const mayBeStored = (row) => isOnItsWay(row) && (row.accepted || now() - row.queued > 2 * PAUSE_MS);
  // Asks as long as an event is on its way, one question at a time; the API answers when one of them is stored.
  const ask = async () => {
    if (asking) return;
    asking = true;
    while (rows.some(isOnItsWay)) {
      const asked = rows.filter(mayBeStored).slice(-MOST_IDS);
      if (!asked.length) {
        await pause(20);
        continue;
      }
      const found = await stored(asked.map((row) => row.id));
      if (!found) await pause(PAUSE_MS);
      for (const row of asked) if (found?.includes(row.id)) row.stored = now();
      changed();
    }
    asking = false;
  };
  const stored = async (ids) => {
    try {
      const response = await fetch(`/demo/stored?ids=${ids.join(",")}`);
      return response.ok ? (await response.json()).stored : null;
    } catch {
      return null;
    }
  };

  find("consent").checked = localStorage.getItem("tidemark:consent") !== "denied";
  find("consent").addEventListener("change", ({ target }) => {
    tidemark.consent(target.checked);
    notice = target.checked ? "" : "Nothing is recorded now. What had not been sent is deleted, and so is your visitor's id.";
    for (const row of rows) if (!target.checked && !row.accepted) row.refused = "deleted: consent withdrawn";
    changed();
  });
  find("burst").addEventListener("click", () => {
    for (let place = 1; place <= 50; place++) tidemark.track("click", { place });
  });
  find("clear").addEventListener("click", () => {
    rows.length = 0;
    notice = "";
    changed();
  });
  if (navigator.doNotTrack === "1" || navigator.globalPrivacyControl)
    notice = "Your browser asks not to be tracked, so the tracker records nothing.";
  if (matchMedia("(max-width: 60rem)").matches) document.getElementById("panel").open = false;
  show();
  ask();
})();
