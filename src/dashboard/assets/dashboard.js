// Draws the charts of the page "Now" and says whether its figures are live. Every other page works without it.
const connection = document.getElementById("connection");
const figures = document.getElementById("figures");

function say(text) {
  if (connection !== null && connection.textContent !== text) connection.textContent = text;
}

if (figures !== null) {
  figures.addEventListener("htmx:sse:after:message", () => say("live"));
  figures.addEventListener("htmx:sse:error", ({ detail }) => {
    // The session is over: the page asks to sign in.
    if (detail.status === 401) location.reload();
    say("connection lost, trying again");
  });
  figures.addEventListener("htmx:sse:close", () => say("connection closed: reload the page"));
  keepHistory();
}

function keepHistory() {
  const minuteMs = 60_000;
  const span = () => document.querySelector("input[name=span]:checked").value;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let history;

  const draw = () => {
    if (history === undefined) return;
    for (const figure of document.querySelectorAll("[data-chart]")) drawChart(figure, history, span());
  };
  const load = async () => {
    try {
      const response = await fetch(`/history?span=${span()}`);
      if (!response.ok) return;
      history = await response.json();
      draw();
    } catch {
      // The next round tries again.
    }
  };
  for (const choice of document.querySelectorAll("input[name=span]")) choice.addEventListener("change", load);
  dark.addEventListener("change", draw);
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(document.querySelector(".charts"));
  setInterval(() => document.hidden || load(), minuteMs);
  load();
}

const count = (value) => (value >= 10_000 ? `${Math.round(value / 1_000)}k` : String(Math.round(value * 10) / 10));
const percent = (value) => `${Math.round(value * 1_000) / 10}%`;
const duration = (ms) => {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 6_000) / 10} m`;
  return `${Math.round(ms / 360_000) / 10} h`;
};

function share({ readable }, within) {
  return within.map((value, index) => {
    const all = readable[index];
    return value === null || all === null || all === 0 ? null : value / all;
  });
}

const charts = {
  behind: { format: count, lines: [["users", "--accent", (s) => s.outstanding]], fill: true },
  age: { format: duration, lines: [["oldest", "--notice", (s) => s.oldestMs]], fill: true },
  readable: {
    format: percent,
    top: 1,
    lines: [
      ["60 s", "--muted", (s) => share(s, s.within60s)],
      ["10 s", "--blue", (s) => share(s, s.within10s)],
      ["1 s", "--good", (s) => share(s, s.within1s)],
    ],
  },
  work: {
    format: count,
    lines: [
      ["events", "--accent", (s) => s.events],
      ["refreshes", "--blue", (s) => s.refreshes],
      ["errors", "--bad", (s) => s.refreshErrors],
    ],
  },
  calls: {
    format: count,
    lines: [
      ["calls", "--blue", (s) => s.calls],
      ["limited", "--notice", (s) => s.callsLimited],
      ["failed", "--bad", (s) => s.callsFailed],
    ],
  },
  failed: { format: count, lines: [["failed", "--bad", (s) => s.failed]], fill: true },
};

const heightPx = 176;
const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const days = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayS = 86_400;
const timeTicks = (_plot, ticks, _axis, _space, step) =>
  ticks.map((tick) => (step >= dayS ? days : hours).format(tick * 1_000));
const moment = (seconds) =>
  seconds === null ? "–" : `${days.format(seconds * 1_000)}, ${hours.format(seconds * 1_000)}`;

function drawChart(figure, { at, series }, span) {
  const { format, lines, fill, top } = charts[figure.dataset.chart];
  const plot = figure.querySelector(".plot");
  const style = getComputedStyle(document.documentElement);
  const probe = figure.appendChild(document.createElement("span"));
  // A canvas does not know light-dark().
  const color = (name) => {
    probe.style.color = style.getPropertyValue(name);
    return getComputedStyle(probe).color;
  };
  const translucent = (text) => text.replace("rgb(", "rgba(").replace(")", ", 0.14)");
  const values = lines.map(([, , read]) => read(series));
  const axis = {
    stroke: color("--muted"),
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
  };
  const options = {
    width: plot.clientWidth,
    height: heightPx,
    cursor: { y: false, points: { size: 6 } },
    legend: { markers: { width: 0, fill: (_plot, index) => color(lines[index - 1]?.[1] ?? "--line") } },
    scales: { y: { range: (_plot, _min, max) => [0, top ?? Math.max(1, (max ?? 0) * 1.15)] } },
    axes: [
      { ...axis, values: timeTicks },
      { ...axis, size: 52, values: (_plot, ticks) => ticks.map(format) },
    ],
    series: [
      { label: "time", value: (_plot, seconds) => moment(seconds) },
      ...lines.map(([label, name]) => ({
        label,
        stroke: color(name),
        width: 1.5,
        points: { show: false },
        ...(fill && { fill: translucent(color(name)) }),
        value: (_plot, value) => (value === null || value === undefined ? "–" : format(value)),
      })),
    ],
  };
  plot.setAttribute("aria-label", describe(figure, lines, values, format, span));
  plot.replaceChildren();
  if (at.length < 2) {
    probe.remove();
    plot.textContent = "There are too few points yet: one is added every minute.";
    return;
  }
  new uPlot(options, [at, ...values], plot);
  probe.remove();
}

const spanWords = { hour: "hour", day: "24 hours", fortnight: "14 days" };

/** The chart in a sentence, for those who do not see it. */
function describe(figure, lines, values, format, span) {
  const title = figure.querySelector("strong").textContent;
  const parts = lines.map(([label], index) => {
    const known = values[index].filter((value) => value !== null);
    if (known.length === 0) return `${label}: unknown`;
    return `${label}: ${format(known.at(-1))} now, ${format(Math.min(...known))} to ${format(Math.max(...known))}`;
  });
  return `${title}, last ${spanWords[span]}. ${parts.join(". ")}.`;
}
