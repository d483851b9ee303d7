// What cannot be HTML: copying, dropping files, dialogs, and the theme without a reload.
// Everything here finds its elements by data- attributes; what it replaces works without it.

const root = document.documentElement;
root.classList.add("is-scripted");
const csrf = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

const each = (within, selector, act) => {
  if (within.matches?.(selector)) act(within);
  within.querySelectorAll?.(selector).forEach(act);
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
  document.dispatchEvent(new Event("theme:changed"));
});
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
      row.lastElementChild.textContent = is_done ? "sent" : "not taken";
      if (!is_done) {
        row.append(Object.assign(document.createElement("p"), { textContent: reason(request), className: "text-muted" }));
        toast("danger", `${file.name} was not taken: ${reason(request)}`);
      }
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

async function mountChart(figure) {
  const { chart } = await import("./charts.js");
  if (figure.isConnected) chart(figure);
}

// ---- what is there, and what htmx brings -------------------------------------------------------------------------

function mount(within) {
  each(within, "[data-chart]", (figure) => mountChart(figure).catch(() => {})); // without the library its picture stays
  each(within, "[data-editor]", (area) => mountEditor(area).catch(() => (area.hidden = false)));
  each(within, "[data-drop]", dropZone);
  each(within, "dialog[data-modal]", (dialog) => dialog.open || openModal(dialog));
  each(within, "[data-toast]", leave);
  each(within, ".tab[aria-current]", (tab) => (tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 16));
}

document.addEventListener("htmx:load", (event) => event.target !== document.body && mount(event.target));
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
