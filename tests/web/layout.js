// What is wrong with the layout of the page as it stands: a list of sentences, empty where nothing is.
() => {
  const found = [];
  const told = (one) => `${one.tagName.toLowerCase()}${one.id ? "#" + one.id : ""} "${(one.innerText || one.value || one.ariaLabel || "").trim().slice(0, 40)}"`;
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) found.push(`the page is ${root.scrollWidth} px wide in a window of ${innerWidth}`);

  const modal = document.querySelector("dialog[open]");
  const within = modal ?? document.body;
  const unseen = (one) => !one.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || one.closest(".sr-only, .skip, .toasts, .cm-editor, [inert]");
  /** A box without what its scrolling ancestors hide of it. */
  const clipped = (box, from) => {
    let { left, top, right, bottom } = box;
    for (let at = from; at && at !== document.body; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.overflowX === "visible" && style.overflowY === "visible") continue;
      const frame = at.getBoundingClientRect();
      [left, right, top, bottom] = [Math.max(left, frame.left), Math.min(right, frame.right), Math.max(top, frame.top), Math.min(bottom, frame.bottom)];
    }
    return right - left > 0.5 && bottom - top > 0.5 ? { left, top, right, bottom } : null;
  };
  const layer = (one) => one.closest(".menu-list, .top, dialog") ?? null;
  const boxesOf = (from, rects) => [...rects].map((box) => clipped(box, from)).filter(Boolean);
  const meet = (a, b, slack) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > slack && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > slack;

  // what can be pressed: large enough or far enough from the next (WCAG 2.2, 2.5.8), and on nothing else
  const pressed = [...within.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [role=slider]")]
    .filter((one) => !unseen(one))
    .map((one) => ({ one, layer: layer(one), boxes: boxesOf(one.parentElement, one.getClientRects()) }))
    .filter(({ boxes }) => boxes.length);
  const isInText = (one) => getComputedStyle(one).display === "inline" && one.parentElement.innerText.trim() !== one.innerText.trim();
  const small = pressed.filter(({ one }) => (one.offsetWidth < 23.5 || one.offsetHeight < 23.5) && !one.labels?.length && !isInText(one) && boxesOf(one.parentElement, [one.getBoundingClientRect()]).length);
  for (const { one, layer: at, boxes } of small) {
    const [x, y] = [(boxes[0].left + boxes[0].right) / 2, (boxes[0].top + boxes[0].bottom) / 2];
    const circle = { left: x - 12, right: x + 12, top: y - 12, bottom: y + 12 };
    const near = pressed.find((other) => other.one !== one && other.layer === at && !other.one.contains(one) && !one.contains(other.one) && other.boxes.some((box) => meet(circle, box, 0.5)));
    if (near) found.push(`${told(one)} is small and too near to ${told(near.one)}`);
  }
  // what a page is worked by is large enough wherever it stands: a finger is no smaller for the room around it
  for (const { one } of pressed)
    if (one.matches(".button, button, .menu-item, .tab, .nav a, select, .input") && (one.offsetWidth < 23.5 || one.offsetHeight < 23.5)) found.push(`${told(one)} is ${one.offsetWidth} by ${one.offsetHeight} px`);
  for (const [n, a] of pressed.entries())
    for (const b of pressed.slice(n + 1)) {
      if (a.layer !== b.layer || a.one.contains(b.one) || b.one.contains(a.one)) continue;
      if (a.boxes.some((one) => b.boxes.some((other) => meet(one, other, 1)))) found.push(`${told(a.one)} lies on ${told(b.one)}`);
    }

  // text: not on other text, and not cut without a sign
  const texts = [];
  const walker = document.createTreeWalker(within, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const one = node.parentElement;
    if (!node.data.trim() || unseen(one) || one.closest("svg, script, noscript, option, textarea, .code-copy")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of boxesOf(one, range.getClientRects())) texts.push({ one, node, box, layer: layer(one) });
  }
  texts.sort((a, b) => a.box.top - b.box.top);
  for (const [n, a] of texts.entries())
    for (let m = n + 1; m < texts.length && texts[m].box.top < a.box.bottom - 4; m++) {
      const b = texts[m];
      if (a.node !== b.node && a.layer === b.layer && meet(a.box, b.box, 4)) found.push(`the text "${a.node.data.trim().slice(0, 30)}" lies on "${b.node.data.trim().slice(0, 30)}"`);
    }
  for (const one of within.querySelectorAll("*")) {
    if (unseen(one) || !one.innerText?.trim() || one.closest("svg")) continue;
    const style = getComputedStyle(one);
    const isCut = one.scrollWidth > one.clientWidth + 1 && ["hidden", "clip"].includes(style.overflowX) && style.textOverflow !== "ellipsis";
    const isOut = ["BUTTON", "A", "SUMMARY", "LABEL", "H1", "H2", "H3"].includes(one.tagName) && style.display !== "inline" && one.clientWidth && one.scrollWidth > one.clientWidth + 1 && style.textOverflow !== "ellipsis";
    if (isCut || isOut) found.push(`${told(one)} is cut: ${one.scrollWidth} px of text in ${one.clientWidth}`);
  }
  return [...new Set(found)].slice(0, 12);
};
