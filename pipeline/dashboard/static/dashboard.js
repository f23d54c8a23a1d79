// Follows the snapshots that /live pushes, and says in which state the page is.
"use strict";
(() => {
  const { $, timeOf, duration, element } = window.tidemarkElements;
  const SILENCE_MS = 25_000; // the server says something every ten seconds
  const LONGEST_PAUSE_MS = 30_000;
  const ANSWER_MS = 5_000;
  let snapshot = null;
  let stream = null;
  let heardAt = 0;
  let failures = 0;
  let lost = null; // [words, whether the token is asked for]
  let waiting = 0;

  // ---- states --------------------------------------------------------------------------------------------------
  // A part's figures are old where it does not answer, and all are where the dashboard does not.
  function old() {
    const found = {};
    for (const part of ["mongo", "kafka"]) {
      const source = snapshot[part];
      if ((lost || source.error) && source.at_ms) found[part] = timeOf(source.at_ms);
    }
    return found;
  }

  function banners() {
    if (lost) return [["", snapshot ? `${lost[0]} These figures are from ${timeOf(snapshot.at_ms)}.` : lost[0], lost[1]]];
    if (!snapshot) return [];
    const found = [snapshot.mongo, snapshot.kafka].filter((source) => source.error).map((source) => {
      const from = source.at_ms ? `Its figures are from ${timeOf(source.at_ms)}.` : "There are no figures of it yet.";
      return ["", `${source.error} (since ${timeOf(source.since_ms)}). ${from} The dashboard keeps asking.`, false];
    });
    if (!snapshot.counts) found.push(["warn", "This dashboard does not count events: PIPELINE_DASHBOARD_AGGREGATE is false.", false]);
    return found;
  }

  function showBanners() {
    const wanted = banners();
    const written = JSON.stringify(wanted);
    if ($("banners").dataset.shown === written) return; // a screen reader reads what changes, once
    $("banners").dataset.shown = written;
    $("banners").replaceChildren(...wanted.map(([className, text, asks]) => {
      const banner = element("p", text, className);
      if (asks) banner.append(" ", Object.assign(element("a", "Enter the token"), { href: "/" }));
      return banner;
    }));
  }

  function showConnection() {
    const away = snapshot?.mongo.error || snapshot?.kafka.error;
    $("dot").className = lost || away ? "dot bad" : snapshot ? "dot good" : "dot";
    // The time since it came, by one clock: the server's may be another.
    const live = away ? "connected, but some figures are old" : `live, ${duration(Date.now() - heardAt)} old`;
    $("connection").textContent = lost ? "not connected" : snapshot ? live : "connecting";
  }

  function showState() {
    showBanners();
    showConnection();
    $("loading").hidden = Boolean(snapshot) || Boolean(lost);
    $("empty").hidden = !(snapshot?.activity && snapshot.health && !snapshot.activity.today.events && !snapshot.health.accepted);
  }

  function show() {
    showState();
    if (snapshot && !document.hidden) window.tidemarkPanels.show(snapshot, old());
  }

  // ---- the stream ----------------------------------------------------------------------------------------------
  function connect() {
    stream?.close();
    waiting = 0;
    heardAt = Date.now();
    stream = new EventSource("/live");
    stream.addEventListener("snapshot", (message) => {
      heardAt = Date.now();
      failures = 0;
      lost = null;
      snapshot = JSON.parse(message.data);
      show();
      if (!document.hidden) window.tidemarkNewest.renew();
    });
    stream.addEventListener("error", () => reconnect("The dashboard does not answer."));
  }

  async function reconnect(words) {
    if (waiting) return;
    failures += 1;
    waiting = setTimeout(connect, Math.min(LONGEST_PAUSE_MS, 1000 * 2 ** Math.min(failures, 5)) * (0.75 + Math.random() / 2));
    stream?.close();
    stream = null;
    lost = [`${words} Trying again.`, false];
    show();
    try { // say why, where the server says so: too many viewers, or a token that is not valid any more
      const answer = await fetch("/snapshot", { signal: AbortSignal.timeout(ANSWER_MS) });
      if (!lost) return;
      if (answer.status === 401) lost = ["The token is not valid any more: the dashboard was started with another one.", true];
      else if (answer.ok) lost = ["The live connection was lost, or too many pages look at this dashboard. Trying again.", false];
      show();
    } catch { /* it does not answer */ }
  }

  setInterval(() => {
    // Heartbeats are comments, which a page does not see: the time since the last snapshot says it too.
    const longest = Math.max(SILENCE_MS, 5000 * (snapshot?.refresh_s ?? 0));
    if (stream && Date.now() - heardAt > longest) reconnect("Nothing came from the dashboard for a while.");
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
  document.addEventListener("visibilitychange", show);
  for (const each of document.querySelectorAll("input[type=radio]")) each.addEventListener("change", show);
  for (const each of document.querySelectorAll("details")) each.addEventListener("toggle", show);
  setTheme(["light", "dark"].includes(remembered.get()) ? remembered.get() : "auto");
  connect();
})();
