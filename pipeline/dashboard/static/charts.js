// The two charts. All texts go through Plotly as plain text: tags are escaped, because Plotly reads some of them.
"use strict";
window.tidemarkCharts = (() => {
  const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };
  const SYMBOLS = ["circle", "square", "diamond"];
  const SHORTEST_MS = 600_000; // of the time that a chart shows
  const LONGEST_MS = 3_600_000;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const plain = (text) => window.tidemarkElements.printable(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").slice(0, 200);

  function layout(unit, narrow, range) {
    const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, fixedrange: true, tickfont: { color: colour("--soft") } };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 12 : 13, color: colour("--text") },
      margin: { l: narrow ? 48 : 60, r: 8, t: 8, b: 28 },
      hovermode: "x unified", dragmode: false,
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--edge"), font: { color: colour("--text") } },
      legend: { orientation: "h", y: 1.03, yanchor: "bottom", x: 0, traceorder: "normal", itemclick: false, itemdoubleclick: false },
      showlegend: true,
      xaxis: { ...axis, type: "date", ...(range ? { range } : {}), showgrid: false, ticks: "outside", tickcolor: colour("--line"), tickangle: 0, tickformat: "%H:%M", hoverformat: "%H:%M:%S", nticks: narrow ? 5 : 11 },
      yaxis: { ...axis, rangemode: "tozero", nticks: 6, ticksuffix: unit },
    };
  }

  function trace(name, x, y, at) {
    const shown = colour(`--series-${(at % 6) + 1}`);
    return {
      type: "scatter", name: plain(name.length > 22 ? `${name.slice(0, 21)}\u2026` : name), x, y,
      line: { color: shown, width: 2 }, marker: { color: shown, size: 7, symbol: SYMBOLS[at % 3] },
      hovertemplate: "%{y:.3~s}", connectgaps: false,
    };
  }

  // Areas on one another: the upper edge is the sum, and their order is that of the legend, from the bottom.
  const area = (name, x, y, at) => ({ ...trace(name, x, y, at), mode: "lines", stackgroup: "one", fillcolor: `${colour(`--series-${(at % 6) + 1}`)}59`, line: { color: colour(`--series-${(at % 6) + 1}`), width: 1.5 } });
  const line = (name, x, y, at) => ({ ...trace(name, x, y, at), mode: x.length > 20 ? "lines" : "lines+markers", hovertemplate: "%{y:.3~r} ms" });

  const draw = (element, traces, unit, range) => window.Plotly
    ? window.Plotly.react(element, traces, layout(unit, element.clientWidth < 520, range), CONFIG)
    : (element.textContent = "The charts' library could not be loaded; the table below has the figures.");

  return {
    rates(element, rates) {
      const times = (rates.series[0]?.per_s ?? []).map((_, at) => new Date(rates.start_ms + at * rates.step_ms));
      const most = rates.series.length > 6 ? 5 : 6;
      const few = rates.series.slice(0, most);
      const others = rates.series.slice(most);
      const traces = few.map((each, at) => area(each.name, times, each.per_s, at));
      if (others.length) {
        traces.push(area("others", times, times.map((_, at) => others.reduce((sum, each) => sum + each.per_s[at], 0)), most));
      }
      return draw(element, traces, "");
    },
    latencies(element, minutes, end = Date.now()) {
      const times = minutes.map((each) => new Date(each.at_ms));
      const of = (name) => minutes.map((each) => each.percentiles[name]);
      const span = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, end - minutes[0].at_ms + 60_000));
      return draw(element, [line("median", times, of("p50_ms"), 0), line("p90", times, of("p90_ms"), 2), line("p99", times, of("p99_ms"), 1)], " ms", [new Date(end - span), new Date(end)]);
    },
  };
})();
