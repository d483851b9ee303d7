// The SQL page: a name of the sidebar goes into the editor, and so does the cursor to the place of an error.

const tell = (kind, detail) => document.getElementById("editor").dispatchEvent(new CustomEvent(`editor:${kind}`, { detail }));

document.addEventListener("click", (event) => {
  const at = event.target.closest("[data-insert], [data-line]");
  if (!at) return;
  if ("insert" in at.dataset) tell("insert", at.dataset.insert);
  else tell("place", [Number(at.dataset.line), Number(at.dataset.column)]);
});

// Enter in the name of a query saves it, and does not run it.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.target.id !== "saved-name") return;
  event.preventDefault();
  document.getElementById("save-button").click();
});
