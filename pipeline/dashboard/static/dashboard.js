// Shows the snapshots that /live pushes. Whatever an event contains reaches the page as text, never as HTML.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const whole = new Intl.NumberFormat();
  const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const SILENCE_MS = 25_000; // the server says something every ten seconds
  const LONGEST_PAUSE_MS = 30_000;
  let snapshot = null;
  let stream = null;
  let heardAt = 0;
  let failures = 0;
  let lost = "";
  let paused = false;
  let asking = null;

  // ---- small helpers -------------------------------------------------------------------------------------------
  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }
  const count = (value) => (value === null || value === undefined ? "?" : whole.format(value));
  const milliseconds = (value) => (value === null || value === undefined ? "-" : value >= 10_000 ? `${short.format(value / 1000)} s` : `${short.format(value)} ms`);
  const timeOf = (ms) => clock.format(new Date(ms));
  function age(ms) {
    const seconds = Math.max(0, Math.round((Date.now() - ms) / 1000));
    return seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
  }
  const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

  function table(into, heads, rows) {
    const head = element("thead");
    const names = head.appendChild(element("tr"));
    for (const [text, className] of heads) {
      const cell = names.appendChild(element("th", text, className));
      cell.scope = "col";
    }
    const body = element("tbody");
    for (const row of rows) {
      const line = body.appendChild(element("tr"));
      row.forEach((value, at) => {
        const [text, extra] = Array.isArray(value) ? value : [value, ""];
        line.appendChild(element("td", text, [heads[at][1], extra].filter(Boolean).join(" ")));
      });
    }
    into.replaceChildren(head, body);
  }

  function bars(into, rows, nothing) {
    if (!rows.length) {
      into.replaceChildren(element("p", nothing, "words"));
      return;
    }
    const most = Math.max(...rows.map((each) => each.count), 1);
    const list = element("ul", undefined, "bars");
    for (const each of rows) {
      const item = list.appendChild(element("li"));
      const bar = item.appendChild(element("span", undefined, "bar"));
      bar.style.width = `${(100 * each.count) / most}%`;
      item.appendChild(element("span", each.name, "name"));
      const number = item.appendChild(element("span", count(each.count), "count"));
      if (each.share) number.appendChild(element("span", each.share, "share"));
    }
    into.replaceChildren(list);
  }

  // ---- parts of the page ---------------------------------------------------------------------------------------
  function showKey() {
    const { activity, stored, health } = snapshot;
    const workers = health?.groups[0];
    const series = activity?.recent.series ?? [];
    const now = series.reduce((sum, each) => sum + (each.per_s.at(-1) ?? 0), 0);
    const latency = activity?.latency.recent;
    const missing = health && stored?.events !== null && stored ? health.accepted - stored.events : null;
    const figures = [
      ["Events a second", activity ? short.format(now) : "?", "in the last whole 10 s"],
      ["Users active now", count(activity?.users_now), "last 5 minutes, about"],
      ["Users today", count(activity?.users_today), "UTC day, about"],
      ["Events today", count(activity?.today.events), "UTC day"],
      ["Accepted", count(health?.accepted), "records in Kafka, ever"],
      ["Stored", count(stored?.events), missing === null ? "documents in MongoDB" : missing === 0 ? "documents, as many as accepted" : `documents; ${count(Math.abs(missing))} ${missing < 0 ? "more" : "fewer"} than accepted`],
      ["Backlog", count(workers?.backlog), "records not stored yet", workers && workers.members.length === 0 && workers.backlog > 0],
      ["Delivery latency p99", milliseconds(latency?.p99_ms), latency?.samples ? `of ${count(latency.samples)} samples, 5 minutes` : "no sample in 5 minutes"],
      ["Dead letters", count(health?.dead_letters), "kept in Kafka", health?.dead_letters > 0],
    ];
    $("key").replaceChildren(...figures.map(([name, value, note, alarm]) => {
      const box = element("div", undefined, alarm ? "alarm" : "");
      box.append(element("dt", name), element("dd", value), element("dd", note, "note"));
      return box;
    }));
  }

  function showRates() {
    const { activity } = snapshot;
    const rates = activity[chosen("span")];
    const words = rates.series.map((each) => `${each.name} ${short.format(each.per_s.at(-1) ?? 0)}`).slice(0, 8).join(", ");
    const step = rates.step_ms === 10_000 ? "10 s" : "minute";
    $("rates-words").textContent = rates.series.length ? `In the last whole ${step}: ${words}.` : "No event in this span.";
    $("rates-chart").hidden = !rates.series.length;
    if (rates.series.length) window.tidemarkCharts.rates($("rates-chart"), rates);
    const times = (rates.series[0]?.per_s ?? []).map((_, at) => rates.start_ms + at * rates.step_ms);
    const heads = [["from", "time"], ...rates.series.map((each) => [each.name, "number"])];
    table($("rates-table"), heads, times.map((time, at) => [timeOf(time), ...rates.series.map((each) => short.format(each.per_s[at]))]).reverse());
  }

  function showTops() {
    const name = chosen("window");
    const shown = snapshot.activity[name === "today" ? "today" : "last_hour"];
    for (const each of document.querySelectorAll(".window-name")) each.textContent = name === "today" ? "today (UTC)" : "last hour";
    for (const [id, top, what] of [["pages", shown.pages, "page"], ["referrers", shown.referrers, "referrer"]]) {
      bars($(id), top.names, `No event with a ${what} in this window.`);
      if (top.missed) $(id).append(element("p", `There are too many different ones to keep all: each count may be up to ${count(top.missed)} too low.`, "words"));
    }
  }

  function showFunnel() {
    const steps = snapshot.activity.funnel;
    const first = steps[0]?.users;
    bars($("funnel"), steps.map((each, at) => ({
      name: each.step.replace(":", " with ").replaceAll("_", " "), count: each.users,
      share: at && first ? `${short.format((100 * each.users) / first)}%` : "",
    })), "No step is set.");
  }

  function showLatency() {
    const { latency } = snapshot.activity;
    const { recent } = latency;
    const parts = [recent.samples
      ? `Last 5 minutes: median ${milliseconds(recent.p50_ms)}, p90 ${milliseconds(recent.p90_ms)}, p99 ${milliseconds(recent.p99_ms)}, of ${count(recent.samples)} sampled events.`
      : "No sample in the last 5 minutes."];
    if (latency.waiting) parts.push(`${count(latency.waiting)} sampled events are not stored yet, the oldest since ${short.format(latency.oldest_waiting_s)} s.`);
    if (latency.given_up) parts.push(`${count(latency.given_up)} were not stored within 2 minutes.`);
    parts.push("From the receipt by the API to a read that finds the event; up to a fifth too high.");
    $("latency-words").textContent = parts.join(" ");
    $("latency-chart").hidden = !latency.minutes.length;
    if (latency.minutes.length) window.tidemarkCharts.latencies($("latency-chart"), latency.minutes);
    table($("latency-table"), [["minute", "time"], ["median", "number"], ["p90", "number"], ["p99", "number"], ["samples", "number"]],
      latency.minutes.map((each) => [timeOf(each.at_ms), milliseconds(each.percentiles.p50_ms), milliseconds(each.percentiles.p90_ms), milliseconds(each.percentiles.p99_ms), count(each.percentiles.samples)]).reverse());
  }

  function showHealth() {
    const { health, stored, activity } = snapshot;
    $("groups").replaceChildren(...health.groups.map((group) => {
      const box = element("div", undefined, "group");
      const title = box.appendChild(element("p"));
      title.append(element("strong", group.name), ` (${group.role}): ${group.state || "not there"}, backlog ${count(group.backlog)}`);
      const list = box.appendChild(element("ul"));
      for (const each of group.members) list.append(element("li", `${each.id} at ${each.host}: ${count(each.partitions)} ${each.partitions === 1 ? "partition" : "partitions"}`));
      if (!group.members.length) list.append(element("li", "no member"));
      return box;
    }));
    const facts = element("dl", undefined, "facts");
    for (const [name, value] of [
      ["Accepted: records in the event topics, ever", count(health.accepted)],
      ["Stored: documents in MongoDB", count(stored?.events)],
      ["Not read by the workers yet", count(health.groups[0]?.backlog)],
      ["Dead letters that Kafka keeps", count(health.dead_letters)],
      ["Refused today, as no event", count(activity?.refused_today)],
    ]) facts.append(element("dt", name), element("dd", value));
    $("account").replaceChildren(facts, element("p", "An event that a client sent twice under one event id is accepted twice and stored once.", "words"));
    const rows = health.partitions.map((each) => [each.topic, count(each.partition), each.group, each.member || ["nobody", "alarm"], count(each.done), count(each.written), [count(each.backlog), each.backlog && !each.member ? "alarm" : ""]]);
    table($("backlog"), [["topic", ""], ["partition", "number"], ["group", ""], ["read by", ""], ["read up to", "number"], ["written up to", "number"], ["backlog", "number"]], rows);
  }

  // ---- newest events -------------------------------------------------------------------------------------------
  async function showNewest() {
    if (paused || document.hidden) return;
    asking?.abort();
    const mine = asking = new AbortController();
    const query = new URLSearchParams(new FormData($("filter")));
    try {
      const answer = await fetch(`/events?${query}`, { signal: mine.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.json();
      const filtered = [...query.values()].some(Boolean);
      table($("newest"), [["time", "time"], ["type", ""], ["user", ""], ["properties", "props"]],
        found.events.map((each) => [Number.isNaN(Date.parse(each.at)) ? each.at : timeOf(Date.parse(each.at)), each.event_type, each.user_id, each.props]));
      $("newest").hidden = !found.events.length;
      const where = filtered ? ` that fit, of the newest ${count(found.searched)}` : "";
      $("events-words").textContent = found.events.length ? `${count(found.events.length)} events${where}, by the events' own time.` : `No event${where}.`;
    } catch (error) {
      if (error.name !== "AbortError") $("events-words").textContent = `The newest events could not be read (${error.message}). The list is the last one that was.`;
    }
  }

  // ---- states --------------------------------------------------------------------------------------------------
  function showState() {
    const banners = [];
    if (lost) banners.push(["", snapshot ? `${lost} These figures are from ${timeOf(snapshot.at_ms)}.` : lost]);
    for (const source of snapshot && !lost ? [snapshot.mongo, snapshot.kafka] : []) {
      if (!source.error) continue;
      const old = source.at_ms ? `Its figures are from ${timeOf(source.at_ms)}.` : "There are no figures of it yet.";
      banners.push(["", `${source.error} since ${timeOf(source.since_ms)}. ${old}`]);
    }
    if (snapshot && !snapshot.counts && !lost) banners.push(["warn", "This dashboard does not count events itself (PIPELINE_DASHBOARD_AGGREGATE=false)."]);
    const wanted = banners.map((each) => each.join("|")).join("\n");
    if ($("banners").dataset.shown !== wanted) { // a screen reader reads what changes, once
      $("banners").dataset.shown = wanted;
      $("banners").replaceChildren(...banners.map(([className, text]) => element("p", text, className)));
    }
    document.body.classList.toggle("stale", Boolean(lost || snapshot?.mongo.error || snapshot?.kafka.error));
    $("dot").className = lost ? "dot bad" : snapshot ? "dot good" : "dot";
    $("connection").textContent = lost ? "not connected" : snapshot ? `live, ${age(snapshot.at_ms)} old` : "connecting";
    $("loading").hidden = Boolean(snapshot) || Boolean(lost);
    $("empty").hidden = !(snapshot?.activity && !snapshot.activity.today.events && !snapshot.health?.accepted);
  }

  function show() {
    showState();
    if (!snapshot) return;
    showKey();
    if (snapshot.activity) [showRates, showTops, showFunnel, showLatency].forEach((each) => each());
    if (snapshot.health) showHealth();
  }

  // ---- the stream ----------------------------------------------------------------------------------------------
  function connect() {
    stream?.close();
    heardAt = Date.now();
    stream = new EventSource("/live");
    stream.addEventListener("snapshot", (message) => {
      heardAt = Date.now();
      failures = 0;
      lost = "";
      snapshot = JSON.parse(message.data);
      show();
      showNewest();
    });
    stream.addEventListener("error", () => reconnect("The dashboard does not answer."));
  }

  async function reconnect(words) {
    stream?.close();
    stream = null;
    failures += 1;
    try { // say why, where the server says so: too many viewers, or a token that is not valid any more
      const answer = await fetch("/snapshot");
      if (answer.status === 401) words = "The token is not valid any more: open the dashboard with the new one.";
      else if (answer.ok) words = "The live connection was lost or refused; there may be too many viewers.";
    } catch { /* it does not answer */ }
    lost = `${words} Trying again.`;
    showState();
    setTimeout(connect, Math.min(LONGEST_PAUSE_MS, 1000 * 2 ** Math.min(failures, 5)) * (0.75 + Math.random() / 2));
  }

  setInterval(() => {
    // Heartbeats are comments, which a page does not see: the age of the snapshot says it too.
    if (stream && snapshot && Date.now() - heardAt > Math.max(SILENCE_MS, 5000 * snapshot.refresh_s)) reconnect("Nothing came from the dashboard for a while.");
    showState();
  }, 1000);

  // ---- controls ------------------------------------------------------------------------------------------------
  const remembered = { get: () => { try { return localStorage.getItem("tidemark-theme"); } catch { return null; } }, set: (value) => { try { localStorage.setItem("tidemark-theme", value); } catch { /* storage may be forbidden */ } } };
  function setTheme(value) {
    if (value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = value;
    $("theme").value = value;
    show();
  }
  $("theme").addEventListener("change", (event) => { remembered.set(event.target.value); setTheme(event.target.value); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  for (const each of document.querySelectorAll("input[type=radio]")) each.addEventListener("change", show);
  $("filter").addEventListener("submit", (event) => { event.preventDefault(); showNewest(); });
  $("filter").addEventListener("reset", () => setTimeout(showNewest));
  $("pause").addEventListener("click", () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    showNewest();
  });
  setTheme(["light", "dark"].includes(remembered.get()) ? remembered.get() : "auto");
  connect();
})();
