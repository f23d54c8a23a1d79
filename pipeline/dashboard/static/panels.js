// The parts of the page that show a snapshot: figures, charts, lists, groups and partitions.
"use strict";
window.tidemarkPanels = (() => {
  const { $, short, count, milliseconds, timeOf, cut, element, say, table, bars } = window.tidemarkElements;
  const STATES = { Stable: "stable", Empty: "no member", Dead: "not there yet", PreparingRebalance: "rebalancing", CompletingRebalance: "rebalancing" };
  const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
  const sum = (series) => series.reduce((total, each) => total + (each.per_s.at(-1) ?? 0), 0);
  let shown = null;
  let old = {};

  // ---- key figures ---------------------------------------------------------------------------------------------
  function storedNote({ stored, health }) {
    // The difference between a figure of now and one of before would be wrong.
    if (!health || !stored || stored.events === null || old.mongo || old.kafka) return "documents in MongoDB";
    const missing = health.accepted - stored.events;
    return missing === 0 ? "documents, as many as accepted" : `documents; ${count(Math.abs(missing))} ${missing < 0 ? "more" : "fewer"} than accepted`;
  }

  function showKey() {
    const { activity, stored, health } = shown;
    const workers = health?.groups[0];
    const latency = activity?.latency.recent;
    const figures = [
      ["mongo", "Events a second", activity ? short.format(sum(activity.recent.series)) : "?", "in the last whole 10 s"],
      ["mongo", "Users active now", count(activity?.users_now), "last 5 minutes, about"],
      ["mongo", "Users today", count(activity?.users_today), "UTC day, about"],
      ["mongo", "Events today", count(activity?.today.events), "UTC day"],
      ["kafka", "Accepted", count(health?.accepted), "records in Kafka, ever"],
      ["mongo", "Stored", count(stored?.events), storedNote(shown)],
      ["kafka", "Backlog", count(workers?.backlog), "records not stored yet", workers && workers.members.length === 0 && workers.backlog > 0],
      ["mongo", "Delivery latency p99", activity ? milliseconds(latency.p99_ms) : "?", latency?.samples ? `of ${count(latency.samples)} samples, 5 minutes` : "no sample in 5 minutes"],
      ["kafka", "Dead letters", count(health?.dead_letters), "kept in Kafka", health?.dead_letters > 0],
    ];
    $("key").replaceChildren(...figures.map(([source, name, value, note, alarm]) => {
      const box = element("div", undefined, [alarm ? "alarm" : "", old[source] ? "old" : ""].join(" ").trim());
      const when = value === "?" ? "not known yet" : old[source] ? `${note}; as of ${old[source]}` : note;
      box.append(element("dt", name), element("dd", value), element("dd", when, "note"));
      return box;
    }));
  }

  // ---- traffic -------------------------------------------------------------------------------------------------
  function showRates() {
    const rates = shown.activity[chosen("span")];
    const words = rates.series.map((each) => `${cut(each.name, 40)} ${short.format(each.per_s.at(-1) ?? 0)}`).slice(0, 8).join(", ");
    const step = rates.step_ms === 10_000 ? "10 s" : "minute";
    say("rates-words", rates.series.length ? `In the last whole ${step}: ${words}.` : "No event in this span.");
    $("rates-chart").hidden = !rates.series.length;
    if (rates.series.length) window.tidemarkCharts.rates($("rates-chart"), rates);
    if (!$("rates-table").closest("details").open) return;
    const times = (rates.series[0]?.per_s ?? []).map((_, at) => rates.start_ms + at * rates.step_ms);
    const heads = [["from", "time"], ...rates.series.map((each) => [each.name, "number"])];
    table($("rates-table"), heads, times.map((time, at) => [timeOf(time), ...rates.series.map((each) => short.format(each.per_s[at]))]).reverse());
  }

  function showTops() {
    const today = chosen("window") === "today";
    const found = shown.activity[today ? "today" : "last_hour"];
    for (const each of document.querySelectorAll(".window-name")) each.textContent = today ? "today (UTC)" : "last hour";
    for (const [id, top, what] of [["pages", found.pages, "page"], ["referrers", found.referrers, "referrer"]]) {
      const nothing = top.total ? `No ${what} came often enough to be kept.` : `No event with a ${what} in this window.`;
      bars($(id), top.names, nothing);
      if (top.missed) $(id).append(element("p", `There are too many different ones to keep all: each count may be up to ${count(top.missed)} too low.`, "words"));
    }
  }

  function showFunnel() {
    const steps = shown.activity.funnel;
    const first = steps[0]?.users;
    bars($("funnel"), steps.map((each) => ({
      name: each.step.replace(":", " with ").replaceAll("_", " "), count: each.users,
      share: first ? `${short.format((100 * each.users) / first)}%` : "",
    })), "No step is set.");
  }

  // ---- the pipeline --------------------------------------------------------------------------------------------
  function showLatency() {
    const { latency } = shown.activity;
    const { recent } = latency;
    const parts = [recent.samples
      ? `Last 5 minutes: median ${milliseconds(recent.p50_ms)}, p90 ${milliseconds(recent.p90_ms)}, p99 ${milliseconds(recent.p99_ms)}, of ${count(recent.samples)} sampled events.`
      : "No sample in the last 5 minutes."];
    const one = latency.waiting === 1;
    if (latency.waiting) parts.push(`${count(latency.waiting)} sampled ${one ? "event is" : "events are"} not stored yet; ${one ? "it" : "the oldest"} has waited ${short.format(latency.oldest_waiting_s)} s.`);
    if (latency.given_up) parts.push(`${count(latency.given_up)} ${latency.given_up === 1 ? "was" : "were"} not stored within 2 minutes.`);
    parts.push("Measured from the receipt by the API to a read that finds the event; at most a fifth too high.");
    say("latency-words", parts.join(" "));
    $("latency-chart").hidden = !latency.minutes.length;
    if (latency.minutes.length) window.tidemarkCharts.latencies($("latency-chart"), latency.minutes, shown.at_ms);
    if (!$("latency-table").closest("details").open) return;
    table($("latency-table"), [["minute", "time"], ["median", "number"], ["p90", "number"], ["p99", "number"], ["samples", "number"]],
      latency.minutes.map((each) => [timeOf(each.at_ms), milliseconds(each.percentiles.p50_ms), milliseconds(each.percentiles.p90_ms), milliseconds(each.percentiles.p99_ms), count(each.percentiles.samples)]).reverse());
  }

  function showGroups() {
    $("groups").replaceChildren(...shown.health.groups.map((group) => {
      const box = element("div", undefined, "group");
      const title = box.appendChild(element("p"));
      title.append(element("strong", group.name), element("span", `${group.role}, ${STATES[group.state] ?? group.state}`), element("span", `backlog ${count(group.backlog)}`, "number"));
      const list = box.appendChild(element("ul"));
      for (const each of group.members) list.append(element("li", `${cut(each.id)} at ${cut(each.host)}: ${count(each.partitions)} ${each.partitions === 1 ? "partition" : "partitions"}`));
      if (group.hidden_members) list.append(element("li", `and ${count(group.hidden_members)} more`));
      if (!group.members.length) list.append(element("li", "no member"));
      return box;
    }));
  }

  function showAccount() {
    const { health, stored, activity } = shown;
    const facts = element("dl", undefined, "facts");
    for (const [name, value] of [
      ["Accepted: records in the event topics, ever", count(health?.accepted)],
      ["Stored: documents in MongoDB", count(stored?.events)],
      ["Not read by the workers yet", count(health?.groups[0]?.backlog)],
      ["Dead letters that Kafka keeps", count(health?.dead_letters)],
      ["Refused today, as no event", count(activity?.refused_today)],
    ]) facts.append(element("dt", name), element("dd", value));
    $("account").replaceChildren(facts, element("p", "An event that a client sent twice under one event id is accepted twice and stored once.", "words"));
  }

  function showBacklog() {
    const { partitions, hidden_partitions: hidden } = shown.health;
    table($("backlog"), [["topic", ""], ["partition", "number"], ["group", ""], ["read by", ""], ["read up to", "number"], ["written up to", "number"], ["backlog", "number"]],
      partitions.map((each) => [each.topic, count(each.partition), each.group, each.member || ["nobody", "alarm"], count(each.done), count(each.written), [count(each.backlog), each.backlog && !each.member ? "alarm" : ""]]));
    say("backlog-words", hidden ? `Shown are the partitions with the largest backlogs; ${count(hidden)} more are left out.` : "");
  }

  // ---- how old what is shown is --------------------------------------------------------------------------------
  function showAge() {
    for (const card of document.querySelectorAll("[data-source]")) {
      const time = card.dataset.source.split(" ").map((each) => old[each]).find(Boolean);
      card.classList.toggle("old", Boolean(time));
      const title = card.querySelector("h2, h3");
      let note = title.querySelector(".as-of");
      if (!note) note = title.appendChild(element("span", "", "as-of"));
      note.textContent = time ? `, as of ${time}` : "";
    }
  }

  // `times`: of a part ("mongo", "kafka") whose figures are not of now, when they are from.
  function show(snapshot, times) {
    shown = snapshot;
    old = times;
    showKey();
    showAge();
    if (snapshot.activity) [showRates, showTops, showFunnel, showLatency].forEach((each) => each());
    if (snapshot.health) [showGroups, showBacklog].forEach((each) => each());
    if (snapshot.activity || snapshot.health) showAccount();
  }

  return { show };
})();
