// Charts that can be dragged, zoomed and brushed, in the place of the pictures that the page has from the server.
// A page without a chart loads none of this; without the library the pictures stay.

import { init } from "./vendor/echarts/echarts.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const drawn = new Map(); // figure: its chart
const settled = new WeakMap(); // figure: what to do when its size has changed
const ABOVE = 12; // pixels over the plot and under it, as components/charts.html has them
const BELOW = 24;
const AFTER = 18; // and beside it, as the styles have it
const NARROW = 480;
const ZOOM = { in: [0.25, -0.25], out: [-0.5, 0.5], back: [-0.5, -0.5], on: [0.5, 0.5] }; // shares of what is seen
const SIDES = ["x_from", "x_to", "y_from", "y_to"];

const after = (milliseconds, act) => {
  let timer;
  return (...given) => (clearTimeout(timer), (timer = setTimeout(act, milliseconds, ...given)));
};

// ---- mounting ----------------------------------------------------------------------------------------------------

/** Draws the chart of a figure, once. */
export function chart(figure) {
  if (drawn.has(figure)) return;
  const place = figure.querySelector("[data-canvas]");
  const picture = place.querySelector("svg");
  const canvas = document.createElement("div");
  canvas.className = place.className;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", picture.querySelector("desc").textContent);
  const left = parseFloat(getComputedStyle(picture).paddingLeft);
  picture.replaceWith(canvas);
  const made = init(canvas, null, { renderer: "canvas" });
  drawn.set(figure, made);
  made.left = left;
  draw(figure, made);
  new ResizeObserver(after(50, () => made.isDisposed() || (made.resize(), settled.get(figure)?.()))).observe(canvas);
}

function draw(figure, made) {
  const data = JSON.parse(figure.dataset.shown);
  const colours = palette();
  const kind = KINDS[figure.dataset.chart];
  if (data.axes && made.getWidth() < NARROW) thin(data.axes.x);
  const grid = { left: made.left, right: AFTER, top: ABOVE, bottom: BELOW };
  made.setOption({ ...base(colours), grid, ...kind.option(data, colours, grid) }, true);
  kind.live?.(figure, made, data, colours);
}

/** Every second tick of a row of long ones, as the picture has them where the page is narrow. */
function thin(told) {
  const length = told.ticks.reduce((sum, [, text]) => sum + text.length, 0);
  if (length > 24) told.ticks = told.ticks.filter((_, n) => n % 2 === 0);
}

const redraw = () => {
  for (const [figure, made] of drawn) draw(figure, made);
};
document.addEventListener("theme:changed", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("htmx:beforeCleanupElement", (event) => {
  drawn.get(event.target)?.dispose();
  drawn.delete(event.target);
});

// ---- how charts look ---------------------------------------------------------------------------------------------

/** Colours as the theme has them; a canvas knows no custom properties, and the library no mixed colours. */
function palette() {
  const pixel = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const probe = document.createElement("i");
  probe.style.setProperty("transition", "none", "important"); // where motion is reduced a colour takes an instant to change
  document.body.append(probe);
  const read = (name, className = "") => {
    probe.className = className;
    probe.style.color = `var(--${name})`;
    pixel.fillStyle = getComputedStyle(probe).color;
    pixel.fillRect(0, 0, 1, 1);
    return `rgb(${[...pixel.getImageData(0, 0, 1, 1).data.slice(0, 3)]})`;
  };
  const names = ["text", "muted", "line", "edge", "surface", "raised", "accent-text", "anomaly", "bar", "band"];
  const found = Object.fromEntries(names.map((name) => [name, read(name)]));
  for (const kind of ["dot", "cell"]) found[kind] = [0, 1, 2, 3, 4].map((level) => read("mixed", `${kind} level-${level}`));
  probe.remove();
  return found;
}

const base = (colours) => ({
  animation: !calm.matches,
  animationDuration: 200,
  useUTC: true, // moments stand by their own clock, as in the pictures
  textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12, color: colours.muted },
  tooltip: tooltip(colours, {}),
});

// Text drawn on the canvas: markup in data is text, and the policy allows no styles in markup.
const tooltip = (colours, more) => ({
  renderMode: "richText",
  confine: true,
  backgroundColor: colours.raised,
  borderColor: colours.line,
  textStyle: { color: colours.text, fontSize: 12 },
  ...more,
});

/** Anybody's text in one line of a canvas: cut, kept apart from what surrounds it, and no style of the library's own. */
function plain(value) {
  const line = String(value ?? "").replace(/[\u2066-\u2069]/g, "").replace(/\s+/g, " ").replace(/[{}]/g, "$&\u2060");
  return `\u2068${line.length > 80 ? `${line.slice(0, 79)}…` : line}\u2069`;
}

function number(value) {
  const size = Math.abs(value);
  if (value === null || Number.isNaN(value)) return "none";
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return Number(value).toExponential(3);
  return Number(value).toLocaleString("en", { maximumSignificantDigits: 6 });
}

const lines = (...texts) => texts.filter(Boolean).join("\n");
const moment = (at) => new Date(at).toISOString().slice(0, 19).replace("T", " ");

const axisOf = (colours, more) => ({
  axisLine: { onZero: false, lineStyle: { color: colours.edge } },
  axisTick: { show: false },
  splitLine: { show: false },
  ...more,
  axisLabel: { color: colours.muted, hideOverlap: true, ...more.axisLabel },
});

/** The axis of the picture: its range, and its ticks with their texts. */
function toldAxis(colours, told, more = {}) {
  const values = told.ticks.map(([at]) => at);
  const near = (told.high - told.low) / 1e6;
  const interval = values[0] === told.low ? values[1] - values[0] : undefined; // of the lines, which know no values
  const text = (value) => told.ticks.find(([at]) => Math.abs(at - value) <= near)?.[1] ?? "";
  return axisOf(colours, {
    type: "value",
    min: told.low,
    max: told.high,
    interval,
    ...more,
    axisLabel: { customValues: values, formatter: text, ...more.axisLabel },
    splitLine: { lineStyle: { color: colours.line }, ...more.splitLine },
  });
}
const across = (colours, told) => toldAxis(colours, told, { splitLine: { show: false } });
const up = (colours, told) => toldAxis(colours, told, { axisLine: { show: false } });

const TIMES = {
  formatter: { year: "{yyyy}", month: "{MMM} {yyyy}", day: "{d} {MMM}", hour: "{HH}:{mm}", minute: "{HH}:{mm}", second: "{HH}:{mm}:{ss}", none: "{HH}:{mm}:{ss}.{SSS}" },
};
const marks = (colours) => ({ type: "scatter", name: "anomaly", symbol: "diamond", symbolSize: 13, z: 5, itemStyle: { opacity: 1, color: colours.anomaly, borderColor: colours.surface, borderWidth: 1.5 } });

// ---- kinds of charts ---------------------------------------------------------------------------------------------

const KINDS = {
  histogram: { option: histogram, live: dragThreshold },
  series: { option: series, live: zoom },
  scatter: { option: scatter, live: brush },
  heatmap: { option: heatmap },
};

function histogram(data, colours) {
  const told = ({ value }) => `${number(value[0])} to ${number(value[1])}: ${number(value[2])} rows`;
  return {
    tooltip: tooltip(colours, { formatter: told }),
    xAxis: across(colours, data.axes.x),
    yAxis: up(colours, data.axes.y),
    series: [
      {
        type: "custom",
        clip: true,
        data: data.counts.map((count, n) => [data.edges[n], data.edges[n + 1], count]),
        encode: { x: [0, 1], y: 2 },
        renderItem: (_, api) => bar(api, data.threshold, colours),
      },
    ],
  };
}

/** A bar in two colours where the threshold cuts it. */
function bar(api, threshold, colours) {
  const [low, high, count] = [api.value(0), api.value(1), api.value(2)];
  const cut = threshold == null ? high : Math.min(Math.max(threshold, low), high);
  const piece = (from, to, fill) => {
    if (!(to > from && count)) return null;
    const [x, y] = api.coord([from, count]);
    const [end, bottom] = api.coord([to, 0]);
    return { type: "rect", shape: { x, y: Math.min(y, bottom - 2), width: Math.max(end - x - 0.75, 0), height: Math.max(bottom - y, 2) }, style: { fill } };
  };
  return { type: "group", children: [piece(low, cut, colours.bar), piece(cut, high, colours.anomaly)].filter(Boolean) };
}

function series(data, colours, grid) {
  const pairs = (values) => data.x.map((x, n) => [x, values[n]]);
  const flagged = data.flagged.map((n) => [data.x[n], data.y[n]]);
  const isAlone = (n) => data.y[n] !== null && data.y[n - 1] == null && data.y[n + 1] == null;
  const line = pairs(data.y).map((value, n) => (isAlone(n) ? { value, symbol: "circle", symbolSize: 4 } : value));
  const x = data.is_time ? { type: "time", axisLabel: TIMES } : { type: "value", min: "dataMin", max: "dataMax", axisLabel: { formatter: number } };
  return {
    tooltip: tooltip(colours, { trigger: "axis", axisPointer: { lineStyle: { color: colours.edge } }, formatter: (found) => values(found, data) }),
    grid: { ...grid, bottom: BELOW + 32 },
    xAxis: axisOf(colours, { min: data.axes.x.low * (data.is_time ? 1000 : 1), max: data.axes.x.high * (data.is_time ? 1000 : 1), ...x }),
    yAxis: up(colours, data.axes.y),
    dataZoom: [
      { type: "inside", zoomOnMouseWheel: "ctrl", filterMode: "none" },
      { type: "slider", height: 20, bottom: 4, filterMode: "none", showDetail: false, showDataShadow: false, brushSelect: false, borderColor: colours.line, fillerColor: colours.band, handleStyle: { color: colours.surface, borderColor: colours.edge }, moveHandleStyle: { color: colours.edge } },
    ],
    series: [
      ...(data.lower ? bands(pairs, data, colours) : []),
      { type: "line", name: data.name, data: line, symbol: "none", sampling: "lttb", lineStyle: { width: 1.75, color: colours["accent-text"] }, itemStyle: { color: colours["accent-text"] } },
      { ...marks(colours), data: flagged },
    ],
  };
}

/** The lower edge, unseen, with the height of the band stacked upon it. */
function bands(pairs, data, colours) {
  const line = { type: "line", name: "", stack: "band", stackStrategy: "all", silent: true, symbol: "none" };
  const height = data.upper.map((value, n) => (value === null ? null : value - data.lower[n]));
  return [
    { ...line, data: pairs(data.lower), lineStyle: { width: 2, color: colours.band } },
    { ...line, data: pairs(height), lineStyle: { width: 2, color: colours.band }, areaStyle: { color: colours.band, opacity: 1 } },
  ];
}

/** What the pointer is over: the moment, the value, the band if there is one. */
function values(found, data) {
  const shown = found.find((one) => one.seriesName) ?? found[0];
  const at = data.is_time ? moment(shown.value[0]) : number(shown.value[0]);
  const is_flagged = found.some((one) => one.seriesType === "scatter");
  const expected = data.lower?.[shown.dataIndex] ?? null;
  return lines(
    at,
    `${plain(data.name)}: ${number(shown.value[1])}${is_flagged ? " (anomaly)" : ""}`,
    expected !== null && `expected ${number(expected)} to ${number(data.upper[shown.dataIndex])}`,
  );
}

function scatter(data, colours) {
  const scores = data.points.map((point) => point[2]).filter(Number.isFinite);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const level = (score) => (high > low && Number.isFinite(score) ? Math.min(4, Math.floor((5 * (score - low)) / (high - low))) : 0);
  const of = (is) => data.points.filter((point) => Boolean(point[3]) === is);
  const told = ({ value }) =>
    lines(
      value[4] !== undefined && plain(value[4]),
      `${plain(data.x_name)}: ${number(value[0])}`,
      `${plain(data.y_name)}: ${number(value[1])}`,
      `score: ${number(value[2])}${value[3] ? " (anomaly)" : ""}`,
    );
  return {
    tooltip: tooltip(colours, { formatter: told }),
    xAxis: across(colours, data.axes.x),
    yAxis: up(colours, data.axes.y),
    brush: data.select && {
      brushMode: "single", xAxisIndex: 0, yAxisIndex: 0, throttleType: "debounce", throttleDelay: 150, outOfBrush: { colorAlpha: 0.3 },
      brushStyle: { color: "transparent", borderColor: colours.text, borderWidth: 1.5 },
    },
    series: [
      { type: "scatter", name: "normal", data: of(false), symbolSize: 6, itemStyle: { opacity: 0.7, color: ({ value }) => colours.dot[level(value[2])] } },
      { ...marks(colours), data: of(true) },
    ],
  }; // prettier-ignore
}

function heatmap(data, colours, grid) {
  const cells = data.levels.flatMap((row, n) => row.map((level, m) => level !== null && { value: [m, n, data.values[n][m]], itemStyle: { color: colours.cell[level] } })).filter(Boolean);
  const told = ({ value }) => lines(plain(data.rows[value[1]]), `${plain(data.columns[value[0]])}: ${number(value[2])}`);
  return {
    tooltip: tooltip(colours, { formatter: told }),
    grid: { ...grid, top: 0, bottom: 0 },
    xAxis: { type: "category", data: data.columns.map(plain), show: false },
    yAxis: axisOf(colours, { type: "category", data: data.rows.map((row, n) => `${n}\n${row}`), inverse: true, axisLine: { show: false }, axisLabel: { formatter: (row) => plain(row.slice(row.indexOf("\n") + 1)), width: 104, overflow: "truncate" } }),
    series: [{ type: "heatmap", data: cells, itemStyle: { borderColor: colours.surface, borderWidth: 1 } }],
  };
}

// ---- what is moved -----------------------------------------------------------------------------------------------

/** The threshold is a line to drag, a number field and, with the line in focus, arrow keys; htmx asks for the counts. */
function dragThreshold(figure, made, data, colours) {
  const field = document.querySelector(`[data-threshold-of="${CSS.escape(figure.id)}"]`);
  const [first, last] = [data.edges[0], data.edges.at(-1)];
  const canvas = figure.querySelector("[data-canvas] > div");
  let threshold = field ? Number(field.value) : data.threshold;
  if (threshold == null || Number.isNaN(threshold)) return;
  const clamp = (value) => Math.min(Math.max(value, first), last);

  const place = () => {
    const height = made.getHeight();
    const handle = {
      id: "threshold", type: "group", x: made.convertToPixel({ xAxisIndex: 0 }, clamp(threshold)),
      draggable: field ? "horizontal" : false, cursor: field ? "ew-resize" : "default", z: 10,
      ondrag() { move(made.convertFromPixel({ xAxisIndex: 0 }, this.x)); },
      ondragend: () => place(), // one that was dragged beyond the scores comes back
      children: [
        { type: "rect", shape: { x: -9, y: 0, width: 18, height: height - BELOW }, style: { fill: "transparent" } },
        { type: "line", shape: { x1: 0, y1: ABOVE, x2: 0, y2: height - BELOW }, style: { stroke: colours.text, lineWidth: 1.5, lineDash: [5, 4] } },
        { type: "rect", shape: { x: -4, y: ABOVE, width: 8, height: field ? 18 : 0, r: 3 }, style: { fill: colours.text } },
      ],
    }; // prettier-ignore
    made.setOption({ graphic: [handle] });
  };
  const move = (value, isTyped = false) => {
    threshold = isTyped ? value : Number(clamp(value).toPrecision(5));
    data.threshold = threshold;
    made.setOption({ series: [{ renderItem: (_, api) => bar(api, threshold, colours) }] });
    canvas.setAttribute("aria-valuenow", threshold);
    if (isTyped) return place();
    field.value = threshold;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  move(threshold, true);
  settled.set(figure, place);
  if (!field) return;
  Object.assign(canvas, { tabIndex: 0, role: "slider" });
  const said = { label: "Threshold", valuemin: first, valuemax: last, valuenow: threshold };
  for (const [name, value] of Object.entries(said)) canvas.setAttribute(`aria-${name}`, value);
  canvas.onkeydown = (event) => {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    const ends = { Home: first, End: last };
    if (!steps && !(event.key in ends)) return;
    event.preventDefault();
    move(ends[event.key] ?? threshold + (steps * (last - first)) / 200);
    place();
  };
  field.oninput = (event) => event.isTrusted && field.value !== "" && move(Number(field.value), true);
}

/** What is seen of a series changes by the wheel with Ctrl held, by the handles below it, and by buttons. */
function zoom(figure, made, data) {
  const tools = document.querySelector(`[data-zooms="${CSS.escape(figure.id)}"]`);
  if (!tools) return;
  const [low, high] = [data.axes.x.low, data.axes.x.high];
  const seen = () => made.getOption().dataZoom[0];
  const tell = () => {
    const ends = [seen().start, seen().end].map((share) => low + ((high - low) * share) / 100);
    const told = ends.map((at) => (data.is_time ? moment(at * 1000) : number(at)));
    const are_days = data.is_time && told.every((text) => text.endsWith(" 00:00:00"));
    tools.querySelector("output").textContent = told.map((text) => (are_days ? text.slice(0, 10) : text)).join(" to ");
  };
  tools.onclick = (event) => {
    const asked = event.target.closest("[data-zoom]")?.dataset.zoom;
    if (!asked) return;
    const { start, end } = seen();
    const [left, right] = (ZOOM[asked] ?? [-100, 100]).map((share) => share * (end - start));
    const width = Math.min(100, Math.max(0.1, end + right - (start + left)));
    const from = Math.min(Math.max(0, start + left), 100 - width);
    made.dispatchAction({ type: "dataZoom", start: from, end: from + width });
  };
  made.off("datazoom");
  made.on("datazoom", tell);
  tell();
}

/** What the brush holds is written into the form below, which asks for the rows. */
function brush(figure, made) {
  const form = document.querySelector(`[data-brushes="${CSS.escape(figure.id)}"]`);
  if (!form) return;
  const fields = SIDES.map((name) => form.elements[name]);
  made.dispatchAction({ type: "takeGlobalCursor", key: "brush", brushOption: { brushType: "rect", brushMode: "single" } });
  if (fields.every((field) => field.value !== "")) {
    const [x_from, x_to, y_from, y_to] = fields.map((field) => Number(field.value));
    made.dispatchAction({ type: "brush", areas: [{ brushType: "rect", xAxisIndex: 0, yAxisIndex: 0, coordRange: [[x_from, x_to], [y_from, y_to]] }] }); // prettier-ignore
  }
  made.off("brushEnd");
  made.on("brushEnd", ({ areas }) => {
    const sides = areas.length ? areas[0].coordRange.flat() : ["", "", "", ""];
    fields.forEach((field, n) => (field.value = sides[n] === "" ? "" : Number(sides[n].toPrecision(6))));
    form.requestSubmit();
  });
}
