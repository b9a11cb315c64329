const $ = id => document.getElementById(id);
const make = (tag, rest) => Object.assign(document.createElement(tag), rest);
const rate = value => `${value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 })}/s`;
const gib = value => `${(value / 2 ** 30).toFixed(value < 2 ** 30 * 99.5 ? 1 : 0)} GiB`;
const SERIES = {
  cpu: { title: "CPU, all processors", format: value => `${value.toFixed(value < 99.95 ? 1 : 0)} %` },
  memory: { title: "Memory in use", format: gib },
  switches: { title: "Context switches", format: rate },
  events: { title: "Events sent by this server, to all pages", format: rate },
};
// How much time a chart shows and between its labels, in milliseconds: the least that holds what there is.
const SPANS = [[30_000, 10_000], [60_000, 20_000], [120_000, 30_000], [300_000, 60_000]];
const LONGEST = SPANS.at(-1)[0];
const STALE = 5_000; // after how long without news what is shown is not the present any more
const charts = {};
const counts = { events: 0, reconnections: 0, gaps: 0 };
let source, last = "", gaps = [], opened = false, dirty = false, heard = null;

const chosen = () => Object.keys(charts).filter(topic => charts[topic].box.checked);
const newest = () => Math.max(...Object.values(charts).map(chart => chart.points.at(-1)?.at ?? 0));
const oldest = () => Math.min(...Object.values(charts).map(chart => chart.points[0]?.at ?? Infinity));
// The least of 1, 2, 5, 10, 20 … that is as much as this.
const nice = value => {
  const ten = 10 ** Math.floor(Math.log10(value));
  return ten * [1, 2, 5, 10].find(n => n * ten >= value);
};

const wanted = new URLSearchParams(location.search).get("topics")?.split(",") ?? Object.keys(SERIES);
for (const [topic, series] of Object.entries(SERIES)) {
  const [section, top, canvas, label, asOf] = ["section", "div", "canvas", "label", "small"].map(tag => make(tag, {}));
  const value = make("strong", { textContent: "–" });
  canvas.setAttribute("role", "img");
  top.append(make("h2", { textContent: series.title }), value, asOf);
  asOf.hidden = true;
  section.append(top, canvas);
  const box = make("input", { type: "checkbox", checked: wanted.includes(topic), name: topic });
  label.append(box, topic);
  section.dataset.topic = label.dataset.topic = topic;
  $("charts").append(section);
  $("choice").append(label);
  charts[topic] = { ...series, section, value, asOf, canvas, box, points: [] };
  new ResizeObserver(soon).observe(canvas);
}

function soon() {
  if (!dirty) requestAnimationFrame(draw);
  dirty = true;
}

function draw() {
  dirty = false;
  const end = newest();
  gaps = gaps.filter(at => at > end - LONGEST);
  const span = SPANS.find(([span]) => oldest() >= end - span) ?? SPANS.at(-1);
  for (const topic of chosen()) drawOne(charts[topic], end, span);
}

function drawOne({ canvas, section, points, format, title, value }, end, [span, step]) {
  const { width, height } = canvas.getBoundingClientRect();
  [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
  const g = canvas.getContext("2d");
  g.scale(devicePixelRatio, devicePixelRatio);
  // The colours of the style sheet, for light or dark as it may be.
  const [color, dim, gap] = [value, section.querySelector("h2"), canvas].map(e => getComputedStyle(e).color);
  const line = getComputedStyle(section).borderTopColor;
  g.font = "12px system-ui, sans-serif";
  const now = points.at(-1);
  g.fillStyle = dim;
  if (now?.value == null) {
    value.textContent = "–";
    g.textAlign = "center";
    return g.fillText(now ? "This system does not tell." : "Waiting for the first value", width / 2, height / 2);
  }
  value.textContent = format(now.value) + (now.of && now.of !== 100 ? ` of ${format(now.of)}` : "");
  canvas.setAttribute("aria-label", `${title}: ${value.textContent}`);
  const most = now.of ?? nice(Math.max(...points.map(point => point.value), 1));
  const [left, bottom, top] = [1, height - 20, 8];
  const x = at => left + (1 - (end - at) / span) * (width - 2);
  const y = v => bottom - Math.min(v / most, 1) * (bottom - top);
  g.fillText(format(most), left + 4, top + 12);
  g.fillStyle = line;
  for (const part of [0, .25, .5, .75, 1]) g.fillRect(left, y(part * most), width, 1);
  g.fillStyle = dim;
  for (let ago = 0; ago < span; ago += step) {
    g.textAlign = ago === 0 ? "right" : "center";
    const label = step < 60_000 ? `−${ago / 1000} s` : `−${ago / 60_000} min`;
    g.fillText(ago ? label : heard ? "now" : "last", x(end - ago), height - 4);
  }
  // A line ends where there is nothing: at a gap, or where the server was away.
  const runs = [[]];
  for (const point of points) {
    const before = runs.at(-1).at(-1);
    if (before && (point.at - before.at > 5_000 || gaps.some(at => before.at < at && at <= point.at))) runs.push([]);
    runs.at(-1).push(point);
  }
  const fill = g.createLinearGradient(0, top, 0, bottom);
  [color, "transparent"].forEach((stop, at) => fill.addColorStop(at, stop));
  for (const run of runs) {
    g.beginPath();
    for (const point of run) g.lineTo(x(point.at), y(point.value));
    g.strokeStyle = color; g.lineWidth = 2; g.lineJoin = "round"; g.stroke();
    g.lineTo(x(run.at(-1)?.at), bottom); g.lineTo(x(run[0]?.at), bottom);
    g.globalAlpha = .3; g.fillStyle = fill; g.fill(); g.globalAlpha = 1;
  }
  g.fillStyle = g.strokeStyle = gap;
  g.textAlign = "right";
  for (const at of gaps) {
    g.fillRect(x(at), top, 1.5, bottom - top);
    g.fillText("gap", x(at) - 4, top + 26);
  }
}

function show(state, text) {
  $("state").dataset.state = state;
  // What is read aloud is not said again.
  if ($("state").textContent !== text) $("state").textContent = text;
  const n = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
  $("counts").textContent = [n(counts.events, "event"), n(counts.reconnections, "reconnection"), n(counts.gaps, "gap")].join(" · ");
  $("last").textContent = last || "none";
}

// What is not the present any more is faded, and says of when it is.
function age() {
  const stale = heard === null || performance.now() - heard > STALE;
  if (stale) heard = null;
  $("charts").toggleAttribute("data-stale", stale && newest() > 0);
  for (const { asOf, points } of Object.values(charts)) {
    const at = points.at(-1)?.at;
    asOf.hidden = !stale || !at;
    if (!asOf.hidden) asOf.textContent = `as of ${new Date(at).toLocaleTimeString()}`;
  }
  soon();
}
setInterval(age, 1000);

function connect() {
  source?.close();
  const topics = chosen();
  for (const { section, box } of Object.values(charts)) section.hidden = !box.checked;
  if (topics.length === 0) return show("closed", "no series chosen");
  show("connecting", "connecting");
  source = new EventSource(`/events?topics=${topics.join(",")}&lastEventId=${encodeURIComponent(last)}`);
  source.onopen = () => {
    if (opened) counts.reconnections += 1;
    opened = true;
    show("open", "live");
  };
  for (const topic of topics) {
    const { points } = charts[topic];
    source.addEventListener(topic, event => {
      last = event.lastEventId;
      const point = JSON.parse(event.data);
      points.push(point);
      while (points[0].at < point.at - LONGEST) points.shift();
      counts.events += 1;
      show("open", "live");
      if (heard === null) { heard = performance.now(); age(); }
      heard = performance.now();
      soon();
    });
  }
  source.addEventListener("gap", () => {
    counts.gaps += 1;
    // It is before what comes next.
    if (newest()) gaps.push(newest() + 1);
    soon();
  });
  source.onerror = () => {
    heard = null;
    age();
    if (source.readyState !== EventSource.CLOSED) return show("connecting", "connection lost, reconnecting");
    show("closed", "refused, trying again");
    setTimeout(connect, 5000);
  };
}

$("choice").onchange = () => {
  history.replaceState(null, "", `?topics=${chosen().join(",")}`);
  // Another choice has another past: all of it is in the log.
  [last, gaps, opened] = ["", [], false];
  for (const chart of Object.values(charts)) chart.points = [];
  connect();
};
matchMedia("(prefers-color-scheme: dark)").onchange = soon;
connect();
soon();
