// The SQL page: a name of the sidebar goes into the editor, and the result of a run is brought into sight.

document.addEventListener("click", (event) => {
  const at = event.target.closest("[data-insert]");
  if (!at) return;
  document.getElementById("editor").dispatchEvent(new CustomEvent("editor:insert", { detail: at.dataset.insert }));
});
