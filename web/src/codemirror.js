// The SQL editor. It lives in a shadow root: there its styles are constructed sheets, which a strict
// Content-Security-Policy allows, where in the document they would be a <style> that it refuses.
import { autocompletion, closeBrackets, completionKeymap, snippetCompletion } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { PostgreSQL, SQLDialect, keywordCompletionSource, sql } from "@codemirror/lang-sql";
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting, syntaxTree } from "@codemirror/language";
import { EditorState, Prec } from "@codemirror/state";
import {
  EditorView,
  drawSelection,
  highlightActiveLine,
  highlightSpecialChars,
  keymap,
  lineNumbers,
  placeholder,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--accent-text)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--anomaly)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.typeName, tags.standard(tags.name)], color: "var(--accent-text)" },
]);

const look = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--surface)", fontSize: "0.875rem", height: "100%" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-1px" },
  ".cm-content": { fontFamily: "var(--font-mono)", caretColor: "var(--text)", padding: "0.75rem 0" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "1.6", overflow: "auto" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--muted)", border: "none", paddingLeft: "0.5rem" },
  ".cm-activeLine": { backgroundColor: "var(--hover)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  ".cm-tooltip": {
    backgroundColor: "var(--raised)",
    color: "var(--text)",
    border: "1px solid var(--line)",
    borderRadius: "0.5rem",
    overflow: "hidden",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--font-mono)", fontSize: "0.8125rem" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-tooltip.cm-completionInfo": { padding: "0.5rem 0.75rem", maxWidth: "26rem", fontFamily: "var(--font-sans)" },
  ".cm-completionDetail": { color: "inherit", opacity: "0.75", fontStyle: "normal" },
  ".cm-placeholder": { color: "var(--muted)" },
});

// DuckDB reads PostgreSQL's dialect, and more words.
const DuckDB = SQLDialect.define({
  ...PostgreSQL.spec,
  keywords: `${PostgreSQL.spec.keywords} asof columns exclude macro pivot positional qualify replace sample summarize unpivot describe`,
});

/**
 * An editor in `parent`.
 * words: [{label, kind: table|column|function|file|algorithm|parameter, detail, info, apply, of}]; `of` names a column's table, `apply` is what
 * is written, with ${} where the cursor goes on.
 * onRun, onStop, onChange: called at Ctrl+Enter, at Esc (where nothing is open that Esc closes), and at each change.
 */
export function editor(parent, { text = "", words = [], label = "SQL", hint = "", onRun, onStop, onChange }) {
  let known = words;
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: "open" });
  const complete = (context) => completions(context, known);
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: text,
      extensions: [
        Prec.highest(keymap.of([{ key: "Mod-Enter", run: () => (onRun?.(chosen(view)), true) }])),
        lineNumbers(),
        highlightSpecialChars(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        highlightActiveLine(),
        sql({ dialect: DuckDB }),
        autocompletion({ override: [complete, keywordCompletionSource(DuckDB, false)] }),
        syntaxHighlighting(colours),
        look,
        placeholder(hint),
        keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
        keymap.of([{ key: "Escape", run: () => (onStop?.(), true) }]),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
        EditorView.updateListener.of((update) => update.docChanged && onChange?.(update.state.doc.toString())),
      ],
    }),
  });
  return {
    text: () => view.state.doc.toString(),
    set: (value) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: value } }),
    insert: (value) => view.dispatch(view.state.replaceSelection(value)),
    place: (line, column) => {
      const found = view.state.doc.line(Math.min(line, view.state.doc.lines));
      const anchor = Math.min(found.from + column - 1, found.to);
      view.dispatch({ selection: { anchor }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
    },
    words: (value) => (known = value),
    focus: () => view.focus(),
    close: () => view.destroy(),
  };
}

/** What is selected, or else everything. */
function chosen(view) {
  const { from, to } = view.state.selection.main;
  return from === to ? view.state.doc.toString() : view.state.sliceDoc(from, to);
}

const TYPES = { table: "class", column: "property", function: "function", file: "text", algorithm: "enum", parameter: "variable" };
const QUOTED = ["algorithm", "parameter", "table", "column", "file"]; // what stands in a string, as it is

function completions(context, words) {
  const word = context.matchBefore(/[\w$]+(\.\w*)?/);
  if (!word && !context.explicit) return null;
  const [owner, member] = word?.text.includes(".") ? word.text.split(".") : [null, null];
  const isQuoted = syntaxTree(context.state).resolveInner(context.pos, -1).name === "String";
  const fits = (one) => (isQuoted ? QUOTED.includes(one.kind) : one.kind !== "algorithm" && one.kind !== "parameter");
  const offered = words.filter((one) => fits(one) && (owner === null || one.of === owner));
  const seen = new Set();
  const options = [];
  for (const one of offered) {
    if (seen.has(one.label)) continue;
    seen.add(one.label);
    const option = { label: one.label, type: TYPES[one.kind], detail: one.detail, info: one.info };
    options.push(one.apply && !isQuoted ? snippetCompletion(one.apply, option) : option);
  }
  return { from: word ? word.to - (member ?? word.text).length : context.pos, options, validFor: /^\w*$/ };
}
