// The two charts. All texts go through Plotly as plain text: tags are escaped, because Plotly reads some of them.
"use strict";
window.tidemarkCharts = (() => {
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").slice(0, 200);

  function layout(unit, extra, narrow, range) {
    const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, fixedrange: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "inherit", size: 13, color: colour("--text") },
      margin: { l: 56, r: 12, t: 8, b: 34 },
      hovermode: "x unified", dragmode: false,
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--text") } },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: narrow ? 11 : 13 } },
      showlegend: true,
      xaxis: { ...axis, type: "date", ...(range ? { range } : {}), tickangle: 0, nticks: narrow ? 4 : 10, tickfont: { size: narrow ? 11 : 13 } },
      yaxis: { ...axis, rangemode: "tozero", title: { text: unit, font: { size: 12, color: colour("--soft") } }, ...extra },
    };
  }

  function line(name, x, y, at) {
    return {
      type: "scatter", mode: x.length > 20 ? "lines" : "lines+markers", name: plain(name.length > 22 ? `${name.slice(0, 21)}\u2026` : name), x, y,
      line: { color: colour(`--series-${(at % 6) + 1}`), width: 2, dash: DASHES[at % 6] },
      hovertemplate: "%{y}", connectgaps: false,
    };
  }

  const draw = (element, traces, unit, extra, range) => window.Plotly
    ? window.Plotly.react(element, traces, layout(unit, extra, element.clientWidth < 520, range), CONFIG)
    : (element.textContent = "The charts' library could not be loaded; the table below has the figures.");

  return {
    rates(element, rates) {
      const times = (rates.series[0]?.per_s ?? []).map((_, at) => new Date(rates.start_ms + at * rates.step_ms));
      const few = rates.series.slice(0, 6);
      const others = rates.series.slice(6);
      const traces = few.map((each, at) => line(each.name, times, each.per_s, at));
      if (others.length) {
        traces.push(line("others", times, times.map((_, at) => others.reduce((sum, each) => sum + each.per_s[at], 0)), 6));
      }
      return draw(element, traces, "events/s", {});
    },
    latencies(element, minutes) {
      const times = minutes.map((each) => new Date(each.at_ms));
      const of = (name) => minutes.map((each) => each.percentiles[name]);
      const end = Date.now();
      return draw(element, [line("median", times, of("p50_ms"), 0), line("p90", times, of("p90_ms"), 2), line("p99", times, of("p99_ms"), 1)], "ms", {}, [new Date(end - 3_600_000), new Date(end)]);
    },
  };
})();
