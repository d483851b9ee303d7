// What cannot be HTML: charts that can be dragged, copying, dropping files, dialogs, and the theme without a reload.
// Everything here finds its elements by data- attributes; what it replaces works without it.

const root = document.documentElement;
root.classList.add("is-scripted");
const csrf = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const each = (within, selector, act) => {
  if (within.matches?.(selector)) act(within);
  within.querySelectorAll?.(selector).forEach(act);
};
const after = (milliseconds, act) => {
  let timer;
  return (...given) => (clearTimeout(timer), (timer = setTimeout(act, milliseconds, ...given)));
};
const remember = (name, value) =>
  (document.cookie = `${name}=${value}; path=/; max-age=${value ? 31536000 : 0}; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`);

// ---- messages ----------------------------------------------------------------------------------------------------

export function toast(kind, text) {
  const made = document.createElement("div");
  made.className = `note toast note-${kind}`;
  made.setAttribute("role", kind === "danger" ? "alert" : "status");
  made.dataset.toast = kind;
  const close = document.createElement("button");
  Object.assign(close, { className: "button button-quiet button-small button-icon", type: "button", textContent: "×" });
  close.dataset.dismiss = "";
  close.setAttribute("aria-label", "Dismiss");
  const told = document.createElement("p");
  told.textContent = text;
  made.append(document.createElement("span"), told, close);
  document.getElementById("toasts").append(made);
  leave(made);
}

// Errors stay until they are dismissed; the rest goes by itself.
const leave = (one) => one.dataset.toast !== "danger" && setTimeout(() => one.remove(), 6000);

// ---- clicks and keys, for the whole document ---------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const at = event.target.closest("[data-copy], [data-dismiss], [data-opens], [data-close]");
  if (!at) return closeMenus(event.target);
  if ("dismiss" in at.dataset) at.closest("[data-toast]").remove();
  if ("close" in at.dataset) at.closest("dialog").close();
  if ("opens" in at.dataset) {
    event.preventDefault();
    document.getElementById(at.dataset.opens).showModal();
  }
  if ("copy" in at.dataset) await copy(at);
});

async function copy(button) {
  const source = button.dataset.copy ? document.querySelector(button.dataset.copy) : button.parentElement.querySelector("code");
  const label = button.querySelector("span") ?? button;
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    label.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source); // no clipboard over plain HTTP: it is selected, and Ctrl+C copies
    label.textContent = "Press Ctrl+C";
  }
  setTimeout(() => (label.textContent = before), 1600);
}

const closeMenus = (except) =>
  document.querySelectorAll("details[data-menu][open]").forEach((menu) => menu.contains(except) || (menu.open = false));

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.activeElement?.closest("details[data-menu][open]");
  closeMenus(null);
  menu?.querySelector("summary").focus();
});

// ---- theme -------------------------------------------------------------------------------------------------------

document.addEventListener("submit", (event) => {
  if (!("themeForm" in event.target.dataset)) return;
  event.preventDefault();
  const theme = event.submitter?.value ?? "";
  remember("pynomaly_theme", theme);
  theme ? (root.dataset.theme = theme) : delete root.dataset.theme;
  event.target.querySelectorAll("button").forEach((one) => one.setAttribute("aria-pressed", one.value === theme));
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
if (!document.cookie.includes("pynomaly_zone=")) {
  remember("pynomaly_zone", Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
}

// ---- forms -------------------------------------------------------------------------------------------------------

// A slider and its number say the same.
document.addEventListener("input", ({ target }) => {
  const pairs = target.dataset.pairs;
  const other = pairs ? document.getElementById(pairs) : target.id && document.querySelector(`[data-pairs="${CSS.escape(target.id)}"]`);
  if (!other || other.value === target.value) return;
  other.value = target.value;
  if (pairs) other.dispatchEvent(new Event("input", { bubbles: true }));
});

// A zone takes files that are dropped on it; with data-uploads on its form they are sent one by one, with progress.
function dropZone(zone) {
  const input = zone.querySelector('input[type="file"]');
  const list = zone.querySelector("[data-files]");
  const over = (is) => (event) => (event.preventDefault(), zone.classList.toggle("is-over", is));
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => {
    over(false)(event);
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  input.addEventListener("change", () => {
    list.replaceChildren(...[...input.files].map((file) => fileRow(file)));
    const address = zone.closest("form")?.dataset.uploads;
    if (address) sendAll([...input.files], [...list.children], address, input.name);
  });
}

function fileRow(file) {
  const row = document.createElement("div");
  row.className = "file-row";
  const name = document.createElement("bdi");
  name.textContent = file.name;
  const told = document.createElement("span");
  told.className = "text-muted tabular-nums";
  told.textContent = bytes(file.size);
  row.append(name, told);
  return row;
}

function bytes(count) {
  const power = Math.min(4, Math.floor(Math.log10(Math.max(count, 1)) / 3));
  return `${(count / 1000 ** power).toLocaleString("en", { maximumSignificantDigits: 3 })} ${["bytes", "kB", "MB", "GB", "TB"][power]}`;
}

async function sendAll(files, rows, address, name) {
  let next = "";
  for (const [n, file] of files.entries()) next = (await send(file, rows[n], address, name)) || next;
  if (next) location.assign(next); // the address that the last answer names
}

function send(file, row, address, name) {
  const bar = document.createElement("progress");
  bar.setAttribute("aria-label", `${file.name}, sent`);
  row.append(bar);
  const request = new XMLHttpRequest(); // fetch tells no progress of what is sent
  const body = new FormData();
  body.append("csrf_token", csrf);
  body.append(name, file);
  request.open("POST", address);
  request.setRequestHeader("X-CSRF-Token", csrf);
  request.setRequestHeader("HX-Request", "true");
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) Object.assign(bar, { max: event.total, value: event.loaded });
  });
  return new Promise((resolve) => {
    request.addEventListener("loadend", () => {
      bar.remove();
      const is_done = request.status >= 200 && request.status < 300;
      row.lastElementChild.textContent = is_done ? "sent" : "failed";
      if (!is_done) toast("danger", `${file.name} was not taken: ${reason(request)}`);
      resolve(is_done ? request.getResponseHeader("HX-Redirect") : null);
    });
    request.send(body);
  });
}

function reason(request) {
  const told = new DOMParser().parseFromString(request.responseText, "text/html").querySelector(".toast p, main p");
  return told?.textContent ?? (request.status ? `answer ${request.status}` : "the server cannot be reached");
}

// ---- dialogs -----------------------------------------------------------------------------------------------------

function openModal(dialog) {
  const from = document.activeElement;
  dialog.showModal();
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => (dialog.remove(), from?.isConnected && from.focus()));
}

// ---- charts ------------------------------------------------------------------------------------------------------

const drawn = new Map(); // figure: its chart
const settled = new WeakMap(); // figure: what to do when its size has changed
let library;

/** Colours as the theme has them; a canvas knows no custom properties. */
function palette() {
  const probe = document.createElement("i");
  probe.style.setProperty("transition", "none", "important"); // where motion is reduced a colour takes an instant to change
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["text", "muted", "line", "edge", "surface", "raised", "accent-text", "anomaly", "anomaly-soft", "bar", "band", "sunken"];
  const found = Object.fromEntries(names.map((name) => [name, read(name)]));
  probe.remove();
  return found;
}

async function chart(figure) {
  if (drawn.has(figure)) return;
  drawn.set(figure, null);
  library ??= import("./vendor/echarts/echarts.js");
  const { init } = await library;
  if (!figure.isConnected) return drawn.delete(figure);
  const place = figure.querySelector("[data-canvas]");
  const picture = place.querySelector("svg");
  const canvas = document.createElement("div");
  canvas.className = "chart-canvas";
  if (place.classList.contains("is-tall")) canvas.classList.add("is-tall");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", picture.querySelector("desc").textContent);
  picture.remove();
  place.append(canvas);
  const made = init(canvas, null, { renderer: "canvas" });
  drawn.set(figure, made);
  draw(figure, made);
  new ResizeObserver(after(50, () => made.isDisposed() || (made.resize(), settled.get(figure)?.()))).observe(canvas);
}

function draw(figure, made) {
  const data = JSON.parse(figure.dataset.shown);
  const colours = palette();
  made.setOption({ ...base(colours), ...KINDS[figure.dataset.chart].option(data, colours) }, true);
  KINDS[figure.dataset.chart].live?.(figure, made, data, colours);
}

const redraw = () => {
  for (const [figure, made] of drawn) if (made) draw(figure, made);
};

const base = (colours) => ({
  animation: !calm.matches,
  animationDuration: 200,
  textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12, color: colours.muted },
  grid: { left: 4, right: 12, top: 20, bottom: 4, containLabel: true },
  // text drawn on the canvas: markup in data is text, and the policy allows no styles in markup
  tooltip: {
    renderMode: "richText",
    confine: true,
    backgroundColor: colours.raised,
    borderColor: colours.line,
    textStyle: { color: colours.text, fontSize: 12 },
  },
});

const axisOf = (colours, more = {}) => ({
  axisLine: { lineStyle: { color: colours.edge } },
  axisTick: { show: false },
  axisLabel: { color: colours.muted, hideOverlap: true },
  splitLine: { lineStyle: { color: colours.line } },
  nameTextStyle: { color: colours.muted },
  ...more,
});
const TIMES = (colours) => ({
  color: colours.muted,
  hideOverlap: true,
  formatter: { year: "{yyyy}", month: "{MMM} {yyyy}", day: "{d} {MMM}", hour: "{HH}:{mm}", minute: "{HH}:{mm}", second: "{HH}:{mm}:{ss}", none: "{HH}:{mm}:{ss}" },
});
const short = (value) => Number(value).toLocaleString("en", { maximumSignificantDigits: 5 });

const KINDS = {
  histogram: {
    option: (data, colours) => ({
      tooltip: { ...base(colours).tooltip, formatter: ({ value }) => `${short(value[0])} to ${short(value[1])}: ${short(value[2])} rows` },
      xAxis: axisOf(colours, { type: "value", min: data.edges[0], max: data.edges.at(-1), splitLine: { show: false }, axisLabel: { color: colours.muted, formatter: short, hideOverlap: true } }),
      yAxis: axisOf(colours, { type: "value", axisLine: { show: false } }),
      series: [
        {
          type: "custom",
          clip: true,
          data: data.counts.map((count, n) => [data.edges[n], data.edges[n + 1], count]),
          encode: { x: [0, 1], y: 2 },
          renderItem: (_, api) => bar(api, data.threshold, colours),
        },
      ],
    }),
    live: (figure, made, data, colours) => dragThreshold(figure, made, data, colours),
  },
  series: {
    option: (data, colours) => {
      const flagged = (data.flagged ?? []).map((n) => [data.x[n], data.y[n]]);
      const band = data.lower && data.upper ? bands(data, colours) : [];
      return {
        tooltip: { ...base(colours).tooltip, trigger: "axis", axisPointer: { lineStyle: { color: colours.edge } } },
        grid: { ...base(colours).grid, bottom: 44 },
        xAxis: axisOf(colours, { type: typeof data.x[0] === "string" ? "time" : "value", splitLine: { show: false }, ...(typeof data.x[0] === "string" && { axisLabel: TIMES(colours) }) }),
        yAxis: axisOf(colours, { type: "value", scale: true, axisLine: { show: false } }),
        dataZoom: [
          { type: "inside", zoomOnMouseWheel: "ctrl" },
          { type: "slider", height: 22, bottom: 8, borderColor: colours.line, textStyle: { color: colours.muted }, showDataShadow: false, brushSelect: false },
        ],
        series: [
          ...band,
          { type: "line", name: data.name, data: data.x.map((x, n) => [x, data.y[n]]), showSymbol: false, sampling: "lttb", lineStyle: { width: 1.75, color: colours["accent-text"] }, itemStyle: { color: colours["accent-text"] } },
          { type: "scatter", name: "anomaly", data: flagged, symbol: "diamond", symbolSize: 12, z: 5, itemStyle: { color: colours.anomaly, borderColor: colours.surface, borderWidth: 1.5 } },
        ],
      };
    },
  },
  scatter: {
    option: (data, colours) => {
      const scores = data.points.map((point) => point[2]).filter(Number.isFinite);
      const of = (is) => data.points.filter((point) => Boolean(point[3]) === is);
      return {
        tooltip: { ...base(colours).tooltip, formatter: ({ value }) => `${value[4] ?? ""}\n${data.x_name}: ${short(value[0])}\n${data.y_name}: ${short(value[1])}\nscore: ${short(value[2])}${value[3] ? " (anomaly)" : ""}` },
        grid: { ...base(colours).grid, top: 28, bottom: 24 },
        xAxis: axisOf(colours, { type: "value", scale: true, name: data.x_name, nameLocation: "middle", nameGap: 26 }),
        yAxis: axisOf(colours, { type: "value", scale: true, name: data.y_name, nameTextStyle: { color: colours.muted, align: "left" } }),
        visualMap: { show: false, dimension: 2, min: scores.length ? Math.min(...scores) : 0, max: Math.max(...scores, 1e-9), inRange: { color: [colours.bar, colours["accent-text"], colours.anomaly] } },
        brush: data.select && { brushMode: "single", xAxisIndex: 0, yAxisIndex: 0, brushStyle: { color: colours.band, borderColor: colours["accent-text"], borderWidth: 1 }, throttleType: "debounce", throttleDelay: 150, outOfBrush: { colorAlpha: 0.3 } },
        series: [
          { type: "scatter", name: "normal", data: of(false), symbolSize: 6, itemStyle: { opacity: 0.7 }, large: data.points.length > 5000 },
          { type: "scatter", name: "anomaly", data: of(true), symbol: "diamond", symbolSize: 13, z: 5, itemStyle: { borderColor: colours.surface, borderWidth: 1 } },
        ],
      };
    },
    live: (figure, made, data) => brushRows(made, data),
  },
  heatmap: {
    option: (data, colours) => {
      const flat = data.values.flatMap((row, n) => row.map((value, m) => [m, n, value])).filter((cell) => cell[2] !== null);
      const values = flat.map((cell) => cell[2]);
      return {
        tooltip: { ...base(colours).tooltip, formatter: ({ value }) => `${data.rows[value[1]]}\n${data.columns[value[0]]}: ${short(value[2])}` },
        xAxis: axisOf(colours, { type: "category", data: data.columns, splitLine: { show: false } }),
        yAxis: axisOf(colours, { type: "category", data: data.rows, inverse: true, axisLabel: { color: colours.muted, width: 110, overflow: "truncate" } }),
        visualMap: { show: false, min: Math.min(...values), max: Math.max(...values), inRange: { color: [colours.sunken, colours["anomaly-soft"], colours.anomaly] } },
        series: [{ type: "heatmap", data: flat, itemStyle: { borderColor: colours.surface, borderWidth: 1 } }],
      };
    },
  },
};

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

// The lower edge, unseen, with the height of the band stacked upon it.
const bands = (data, colours) =>
  [
    [data.lower, null],
    [data.upper.map((value, n) => value - data.lower[n]), { color: colours.band, opacity: 1 }],
  ].map(([values, areaStyle]) => ({
    type: "line", stack: "band", stackStrategy: "all", silent: true, showSymbol: false, lineStyle: { opacity: 0 }, tooltip: { show: false },
    data: data.x.map((x, n) => [x, values[n]]), ...(areaStyle && { areaStyle }),
  })); // prettier-ignore

/** The threshold is a line to drag, a number field and, with the line in focus, arrow keys; htmx asks for the counts. */
function dragThreshold(figure, made, data, colours) {
  const field = document.querySelector(`[data-threshold-of="${CSS.escape(figure.id)}"]`);
  const first = data.edges[0];
  const last = data.edges.at(-1);
  const canvas = figure.querySelector("[data-canvas] > div");
  let threshold = field ? Number(field.value) : data.threshold;
  if (threshold == null || Number.isNaN(threshold)) return;
  const clamp = (value) => Math.min(Math.max(value, first), last);

  const place = () => {
    const x = made.convertToPixel({ xAxisIndex: 0 }, clamp(threshold));
    const height = made.getHeight();
    made.setOption({
      graphic: [
        {
          id: "threshold", type: "group", x, draggable: field ? "horizontal" : false, cursor: "ew-resize", z: 10,
          ondrag() { move(made.convertFromPixel({ xAxisIndex: 0 }, this.x)); },
          children: [
            { type: "rect", shape: { x: -9, y: 0, width: 18, height: height - 24 }, style: { fill: "transparent" } },
            { type: "line", shape: { x1: 0, y1: 16, x2: 0, y2: height - 24 }, style: { stroke: colours.text, lineWidth: 1.5, lineDash: [5, 4] } },
            { type: "rect", shape: { x: -4, y: 12, width: 8, height: 18, r: 3 }, style: { fill: colours.text } },
          ],
        },
      ],
    }); // prettier-ignore
  };
  const colour = () => {
    data.threshold = threshold;
    made.setOption({ series: [{ renderItem: (_, api) => bar(api, threshold, colours) }] });
  };
  const move = (value, isTyped = false) => {
    threshold = isTyped ? value : Number(clamp(value).toPrecision(5));
    colour();
    canvas.setAttribute("aria-valuenow", threshold);
    if (isTyped) return place();
    field.value = threshold;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  place();
  settled.set(figure, place);
  if (!field) return;
  Object.assign(canvas, { tabIndex: 0, role: "slider" });
  canvas.setAttribute("aria-label", "Threshold");
  canvas.setAttribute("aria-valuemin", first);
  canvas.setAttribute("aria-valuemax", last);
  canvas.setAttribute("aria-valuenow", threshold);
  canvas.onkeydown = (event) => {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!steps) return;
    event.preventDefault();
    move(threshold + (steps * (last - first)) / 200);
    place();
  };
  field.oninput = (event) => event.isTrusted && field.value !== "" && move(Number(field.value), true);
}

/** What the brush holds is asked for as rows: x_from, x_to, y_from, y_to. */
function brushRows(made, data) {
  if (!data.select) return;
  made.dispatchAction({ type: "takeGlobalCursor", key: "brush", brushOption: { brushType: "rect", brushMode: "single" } });
  made.off("brushEnd");
  made.on("brushEnd", ({ areas }) => {
    const address = new URL(data.select, location.href);
    if (areas.length) {
      const [[x_from, x_to], [y_from, y_to]] = areas[0].coordRange;
      for (const [name, value] of Object.entries({ x_from, x_to, y_from, y_to })) address.searchParams.set(name, value);
    }
    htmx.ajax("GET", address.pathname + address.search, { target: data.target, select: data.target, swap: "outerHTML" });
  });
}

// ---- the SQL editor ----------------------------------------------------------------------------------------------

/** An editor in the place of a text area, which still holds the text that the form sends. */
async function mountEditor(area) {
  delete area.dataset.editor;
  const { editor } = await import("./vendor/codemirror/codemirror.js");
  const place = document.createElement("div");
  place.className = "editor";
  area.after(place);
  area.hidden = true;
  const made = editor(place, {
    text: area.value,
    label: area.labels[0]?.textContent ?? "SQL",
    hint: area.placeholder,
    onChange: (text) => (area.value = text),
    onRun: (text) => {
      area.value = text;
      area.form.requestSubmit();
      area.value = made.text();
    },
    onStop: () => area.form.querySelector("[data-stop]")?.click(),
  });
  area.labels[0]?.addEventListener("click", () => made.focus());
  area.addEventListener("editor:set", (event) => (made.set(event.detail), made.focus()));
  area.addEventListener("editor:place", (event) => (made.place(...event.detail), made.focus()));
  area.addEventListener("editor:insert", (event) => (made.insert(event.detail), made.focus()));
  if (area.dataset.words) {
    const answer = await fetch(area.dataset.words, { headers: { Accept: "application/json" } });
    if (answer.ok) made.words(await answer.json());
  }
}

// ---- what is there, and what htmx brings -------------------------------------------------------------------------

function mount(within) {
  each(within, "[data-chart]", (figure) => chart(figure).catch(() => {})); // without the library the SVG stays
  each(within, "[data-editor]", (area) => mountEditor(area).catch(() => (area.hidden = false)));
  each(within, "[data-drop]", dropZone);
  each(within, "dialog[data-modal]", (dialog) => dialog.open || openModal(dialog));
  each(within, "[data-toast]", leave);
  each(within, ".tab[aria-current]", (tab) => (tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 16));
}

document.addEventListener("htmx:load", (event) => event.target !== document.body && mount(event.target));
document.addEventListener("htmx:beforeCleanupElement", (event) => {
  drawn.get(event.target)?.dispose();
  drawn.delete(event.target);
});
document.addEventListener("htmx:sendError", () => toast("danger", "The server cannot be reached. Try again in a moment."));
mount(document.body);

// The link that makes the first administrator carries its token behind the #, where no log sees it.
const token = document.getElementById("token");
const link = /^#link=([\w-]+)$/.exec(location.hash);
if (token && link) {
  token.value = link[1];
  token.closest("details").open = true;
  history.replaceState(null, "", location.pathname + location.search);
}
