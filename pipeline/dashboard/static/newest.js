// The list of the newest events: with each snapshot, and when the filter changes. One question at a time.
"use strict";
window.tidemarkNewest = (() => {
  const { $, count, timeOf, say, table } = window.tidemarkElements;
  const LONGEST_MS = 10_000;
  let paused = false;
  let asking = null;
  let failed = false;

  const words = (status) => ({
    401: "The token is not valid any more.",
    503: "MongoDB did not answer in time.",
  }[status] ?? `The dashboard answered ${status}.`);

  const time = (text) => (Number.isNaN(Date.parse(text)) ? text : timeOf(Date.parse(text)));

  function list(found, filtered) {
    table($("newest"), [["time", "time"], ["type", ""], ["user", ""], ["properties", "props"]],
      found.events.map((each) => [time(each.at), each.event_type, each.user_id, each.props]));
    $("newest").hidden = !found.events.length;
    const where = filtered ? ` that fit, of the newest ${count(found.searched)}` : "";
    const number = found.events.length;
    return number ? `${count(number)} ${number === 1 ? "event" : "events"}${where}, in the order of the events' own time.` : `No event${where}.`;
  }

  // `said`: read the outcome to a screen reader too, as somebody asked for it; else only that it fails, or works again.
  async function ask(said) {
    if (asking && !said) return; // a slow answer is still on its way: the next one would only make MongoDB slower
    asking?.abort();
    const mine = (asking = new AbortController());
    const late = setTimeout(() => mine.abort("late"), LONGEST_MS);
    const query = new URLSearchParams(new FormData($("filter")));
    let outcome;
    let wrong = false;
    try {
      const answer = await fetch(`/events?${query}`, { signal: mine.signal });
      if (!answer.ok) throw new Error(words(answer.status));
      outcome = list(await answer.json(), [...query.values()].some(Boolean));
    } catch (error) {
      if (asking !== mine) return; // another question has taken its place
      wrong = true;
      const why = mine.signal.aborted || error instanceof TypeError ? "The dashboard did not answer." : error.message;
      outcome = `${why} The list below is the last one that could be read.`;
    } finally {
      clearTimeout(late);
      if (asking === mine) asking = null;
    }
    if (paused) outcome += " Paused.";
    say("events-words", outcome);
    if (said || wrong !== failed) say("events-said", outcome);
    failed = wrong;
  }

  $("filter").addEventListener("submit", (event) => { event.preventDefault(); ask(true); });
  $("filter").addEventListener("reset", () => setTimeout(() => ask(true)));
  $("pause").addEventListener("click", () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    ask(true);
  });

  return { renew() { if (!paused) ask(false); } };
})();
