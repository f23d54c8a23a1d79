// Words and elements that the parts of the page are made of. What an event contains becomes text, never HTML.
"use strict";
window.tidemarkElements = (() => {
  const whole = new Intl.NumberFormat();
  const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const MOST_CHARACTERS = 200;

  const $ = (id) => document.getElementById(id);
  const absent = (value) => value === null || value === undefined;
  const count = (value) => (absent(value) ? "?" : whole.format(value));
  const milliseconds = (value) => (absent(value) ? "-" : value >= 10_000 ? `${short.format(value / 1000)} s` : `${short.format(value)} ms`);
  const timeOf = (ms) => clock.format(new Date(ms));
  function duration(ms) {
    const seconds = Math.max(0, Math.round(ms / 1000));
    return seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
  }

  // Characters that cannot be seen, or that turn the text around them, are shown by their number.
  const printable = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);
  function cut(text, most = MOST_CHARACTERS) {
    const characters = [...printable(text)];
    return characters.length > most ? `${characters.slice(0, most - 1).join("")}\u2026` : characters.join("");
  }

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  // A screen reader reads a change; the same words again are none.
  function say(id, text) {
    if ($(id).textContent !== text) $(id).textContent = text;
  }

  function table(into, heads, rows) {
    const head = element("thead");
    const names = head.appendChild(element("tr"));
    for (const [text, className] of heads) {
      const cell = names.appendChild(element("th", cut(text, 40), className));
      cell.scope = "col";
    }
    const body = element("tbody");
    for (const row of rows) {
      const line = body.appendChild(element("tr"));
      row.forEach((value, at) => {
        const [text, extra] = Array.isArray(value) ? value : [value, ""];
        line.appendChild(element("td", printable(text), [heads[at][1], extra].filter(Boolean).join(" ")));
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
      item.appendChild(element("bdi", cut(each.name), "name"));
      const number = item.appendChild(element("span", count(each.count), "count"));
      if (each.share) number.appendChild(element("span", each.share, "share"));
    }
    into.replaceChildren(list);
  }

  // ---- tables that are wider than their place say so ------------------------------------------------------------
  function watchWidth(box) {
    const hint = element("p", "Wider than the screen: scroll the table sideways to see all columns.", "hint");
    hint.hidden = true;
    box.before(hint);
    const look = () => {
      hint.hidden = box.scrollWidth - box.clientWidth <= 1;
    };
    // Not at once: what it changes may change the size again, and the browser would call that an error.
    const watching = new ResizeObserver(() => requestAnimationFrame(look));
    watching.observe(box);
    watching.observe(box.firstElementChild);
  }
  for (const box of document.querySelectorAll(".scroll")) watchWidth(box);

  return { $, short, count, milliseconds, timeOf, duration, printable, cut, element, say, table, bars };
})();
