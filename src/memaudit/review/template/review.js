/* The page: what is shown, what is annotated, and how it is stored. */

const content = JSON.parse(document.getElementById("content").textContent);
const $ = (id) => document.getElementById(id);
const QUESTIONS = {
  duplicate: {
    question: "Is the test image a duplicate of the training image?",
    same: "same photograph, also edited",
    near: "another photograph of it",
    different: "however similar",
    skip: "no annotation",
  },
  group: {
    question: "Do these training images form one subpopulation?",
    same: "all one kind of object",
    near: "loosely related",
    different: "no two belong together",
    skip: "no annotation",
  },
};
// background and text of the parts of a group, by letter
const PARTS = ["#0072b2 #fff", "#e69f00 #000", "#009e73 #000", "#cc79a7 #000", "#f0e442 #000", "#56b4e9 #000"];
const BLINK = 500; // milliseconds
const STRONGEST = 3; // influences listed below a test image of a group

// --- items ---------------------------------------------------------------------------------------

const pairItems = content.pairs.map((pair) => ({
  ...pair,
  item: "duplicate",
  key: keyOf("duplicate", [pair.train], [pair.test]),
  trains: [pair.train],
  tests: [pair.test],
}));
const groupItems = content.groups.map((group) => {
  const trains = group.members.map((member) => member.train);
  return {
    ...group,
    item: "group",
    kind: "group",
    key: keyOf("group", trains, group.test),
    trains,
    tests: group.test,
    influence: group.influence.length ? Math.max(...group.influence.map(([, , value]) => value)) : null,
    links: group.influence,
  };
});
const items = new Map([...pairItems, ...groupItems].map((item) => [item.key, item]));

const byInfluence = (a, b) => (b.influence ?? -Infinity) - (a.influence ?? -Infinity) || 0;
const ORDERS = {
  decision: () => 0, // the order of the page
  best: (a, b) => b.probability - a.probability || b.score - a.score,
  influence: byInfluence,
  test: (a, b) => a.tests[0] - b.tests[0] || b.probability - a.probability,
};

/* Return all items in an order; groups, which have no score, follow the pairs. */
function ordered(order) {
  if (order === "influence") return [...pairItems, ...groupItems].sort(byInfluence);
  return [...[...pairItems].sort(ORDERS[order]), ...groupItems];
}

function matches(item, filters) {
  const { show, decided, label, selected } = filters;
  if (show === "pairs" ? item.item !== "duplicate" : show === "groups" ? item.item !== "group" : false) return false;
  if (["exact", "near", "scene", "candidate", "selected"].includes(show) && item.kind !== show) return false;
  const decision = state.decisions.get(item.key);
  if (decided === "no" ? decision : decided !== "all" && decision !== decided) return false;
  if (selected && !item.trains.some((index) => content.train[index].selected)) return false;
  return label === "all" || labels(item).includes(Number(label));
}

function labels(item) {
  return [...item.trains.map((i) => content.train[i].label), ...item.tests.map((i) => content.test[i].label)];
}

// --- state and storage -----------------------------------------------------------------

const state = {
  decisions: new Map(), // key -> decision; imported ones may be about items that are not on this page
  unexported: new Set(), // keys annotated since the last export
  history: [], // steps to undo, each [[key, decision before], ...]
  order: [], // all items in the chosen order
  list: [], // items that pass the filters
  at: null, // key of the item shown
  view: null, // blink, overlay, difference or null
  mirror: false,
  smooth: true,
};
const PREFIX = `memaudit-review:${content.study}:`;
const STORAGE_KEY = PREFIX + content.digest;
const FILTERS = { show: "show", decided: "decided", label: "class", order: "order" };

function filters() {
  const values = Object.entries(FILTERS).map(([name, id]) => [name, $(id).value]);
  return { ...Object.fromEntries(values), selected: $("selected").checked };
}

function keep() {
  const kept = {
    dataset: content.dataset,
    decisions: Object.fromEntries(state.decisions),
    unexported: [...state.unexported],
    at: state.at,
    filters: filters(),
    view: state.view,
    smooth: state.smooth,
  };
  store(STORAGE_KEY, JSON.stringify(kept));
}

let warned = false;

/* Store text in the browser; warn once if that fails. */
function store(key, text) {
  try {
    localStorage.setItem(key, text);
  } catch (error) {
    if (!warned)
      notify(`This browser cannot store progress for this page (${error.name}). Export before closing or reloading it.`);
    warned = true;
  }
}

/* Return what is stored under a key, or null if there is nothing or it is invalid. */
function kept(key) {
  try {
    const found = JSON.parse(localStorage.getItem(key));
    if (!found || typeof found.decisions !== "object") return null;
    found.decisions = new Map(Object.entries(found.decisions).filter(([, word]) => DECISIONS.includes(word)));
    found.unexported = new Set(found.unexported);
    return found;
  } catch {
    return null;
  }
}

/* Opening the page stores nothing: another tab may just have stored newer annotations. */
function restore() {
  store("memaudit-review", ""); // tests whether storage works
  const found = kept(STORAGE_KEY);
  if (!found) return offerEarlier();
  Object.assign(state, { decisions: found.decisions, unexported: found.unexported, at: found.at });
  Object.assign(state, { view: found.view || null, smooth: found.smooth ?? true });
  for (const [name, id] of Object.entries(FILTERS)) {
    $(id).value = found.filters?.[name];
    if ($(id).selectedIndex < 0) $(id).selectedIndex = 0;
  }
  $("selected").checked = Boolean(found.filters?.selected);
}

/* Annotations of an earlier page with other items of the same images still apply: offer them. */
function offerEarlier() {
  let best = null;
  const here = (found) => [...found.decisions.keys()].filter((key) => items.has(key)).length;
  try {
    for (const key of Object.keys(localStorage).filter((name) => name.startsWith(PREFIX))) {
      const found = kept(key);
      if (found?.dataset === content.dataset && here(found) > (best ? here(best) : 0)) best = found;
    }
  } catch {
    return; // no storage: the first annotation warns
  }
  if (!best) return;
  ask(`An earlier page of this study has annotations of ${here(best)} of these items.`, {
    "Use them": () => change([...best.decisions], true),
    "Start from scratch": () => {},
  });
}

// --- annotating ------------------------------------------------------------------------------------

/* Set decisions, [[key, decision], ...], as one step of the history. */
function change(decisions, toExport) {
  state.history.push(decisions.map(([key]) => [key, state.decisions.get(key), state.unexported.has(key)]));
  for (const [key, decision] of decisions) {
    state.decisions.set(key, decision);
    if (toExport) state.unexported.add(key);
  }
  refresh();
  keep();
}

function decide(decision) {
  const item = current();
  if (!item) return;
  const following = nextUnannotated();
  say(`${name(item)}: ${decision}.`);
  if (following) state.at = following.key;
  change([[item.key, decision]], true);
}

/* Pairs with the same test image as an item, itself included. */
function sameTest(item) {
  return item?.item === "duplicate" ? pairItems.filter((other) => other.test === item.test) : [];
}

/* Decide all pairs of the shown test image that have no decision yet, as one step. */
function decideAll(decision) {
  const item = current();
  const open = sameTest(item).filter((other) => !state.decisions.has(other.key));
  if (!open.length) return say("All pairs of this test image are annotated.");
  say(`Test ${item.test}: ${open.length} ${open.length > 1 ? "pairs" : "pair"} ${decision}.`);
  const keys = new Set(open.map(({ key }) => key));
  const at = state.list.indexOf(item);
  const following = [...state.list.slice(at + 1), ...state.list.slice(0, at)];
  const next = following.find(({ key }) => !keys.has(key) && !state.decisions.has(key));
  if (next) state.at = next.key;
  return change([...keys].map((key) => [key, decision]), true);
}

/* Return the next item without a decision, cyclically, or else the next item. */
function nextUnannotated() {
  const at = state.list.indexOf(current());
  const others = [...state.list.slice(at + 1), ...state.list.slice(0, at)];
  return others.find((item) => !state.decisions.has(item.key)) || state.list[at + 1];
}

function undo() {
  const step = state.history.pop();
  if (!step) return say("Nothing to undo.");
  for (const [key, before, waiting] of step) {
    if (before) state.decisions.set(key, before);
    else state.decisions.delete(key);
    // exported since: the last export differs now; otherwise as before the step
    if (!state.unexported.has(key)) state.unexported.add(key);
    else if (!waiting) state.unexported.delete(key);
  }
  const item = items.get(step[0][0]);
  if (item) state.at = item.key;
  say(step.length === 1 && item ? `Undone: ${name(item)}.` : `Undone: ${step.length} annotations.`);
  refresh();
  keep();
}

function name(item) {
  if (item.item === "group") return `Group ${item.number}`;
  return `Train ${item.train}, test ${item.test}`;
}

// --- navigation --------------------------------------------------------------------------------------

function current() {
  return items.get(state.at);
}

function move(steps) {
  const at = state.list.indexOf(current());
  go(at < 0 ? 0 : at + steps);
}

function go(place) {
  const item = state.list[Math.max(0, Math.min(state.list.length - 1, place))];
  if (item) state.at = item.key;
  keep();
  showItem();
}

/* Go to “12” (a position in the list), “train 34” or “test 56” (the next item with that example). */
function jump(text) {
  const [, side, number] = /^\s*(train|test)?\s*(\d+)\s*$/i.exec(text) || [];
  if (number === undefined) return say("Enter a number, or train or test and a number.");
  if (!side) return Number(number) >= 1 && go(Number(number) - 1);
  const at = state.list.indexOf(current());
  const others = [...state.list.slice(at + 1), ...state.list.slice(0, at + 1)];
  const examples = side.toLowerCase() === "train" ? "trains" : "tests";
  const found = others.find((item) => item[examples].includes(Number(number)));
  if (!found) return say(`No item in this list has ${SIDES[side.toLowerCase()]} example ${number}.`);
  return go(state.list.indexOf(found));
}

// --- display -------------------------------------------------------------------------------------

const pictures = new Pictures(content, () =>
  notify("Images are missing: they belong in the folder “images” beside this file. If the page was rebuilt, reload it."),
);
let blinking = null;

function element(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

const decimals = (value) => value.toFixed(2).replace("-", "−");

/* Update the list and everything that depends on it. */
function refresh(reorder = false) {
  const chosen = filters();
  if (reorder || !state.order.length) state.order = ordered(chosen.order);
  const before = state.list.indexOf(current());
  state.list = state.order.filter((item) => matches(item, chosen));
  if (!state.list.includes(current())) state.at = state.list[Math.max(0, Math.min(before, state.list.length - 1))]?.key;
  showProgress();
  showItem();
}

function showProgress() {
  const counts = Object.fromEntries(DECISIONS.map((decision) => [decision, 0]));
  let left = items.size;
  for (const key of items.keys()) {
    const decision = state.decisions.get(key);
    if (!decision) continue;
    counts[decision]++;
    left--;
  }
  $("bar").replaceChildren(
    ...DECISIONS.map((decision) =>
      element("i", undefined, { class: decision, style: `width: ${(100 * counts[decision]) / (items.size || 1)}%` }),
    ),
  );
  $("bar").setAttribute("aria-label", `${items.size - left} of ${items.size} annotated`);
  const legend = DECISIONS.map((decision) => {
    const entry = element("span");
    entry.append(" ", element("i", undefined, { class: decision }), `${decision} ${counts[decision]}`);
    return entry;
  });
  $("counts").replaceChildren(element("span", left ? `${left} of ${items.size} left` : `all ${items.size} annotated`), ...legend);
  showUncertainty();
  $("export").textContent = state.unexported.size ? `Export (${state.unexported.size} new)` : "Export";
  $("export").classList.toggle("waiting", state.unexported.size > 0);
  document.title = `${items.size - left}/${items.size} Review: ${content.study}`;
}

const SELECTED = Object.keys(content.train).filter((index) => content.train[index].selected).length;
const ENOUGH = 0.01; // of the selected examples: a standard deviation below which one may stop ...
const FEWEST = 50; // ... after so many annotated pairs, which show whether the probabilities hold

/* Probability that a pair is a leak once it is annotated; a published annotation stays as it is. */
function chance({ key, settled, counts, probability }) {
  const decision = state.decisions.get(key);
  if (decision && decision !== "skip") return decision === "different" ? 0 : 1;
  return settled === null ? probability : Number(counts);
}

/* Whether a pair makes its training example a leak, by the configuration and its annotation. */
function leaks(item) {
  const decision = state.decisions.get(item.key);
  return decision && decision !== "skip" ? decision !== "different" : item.counts;
}

/* Number of selected examples that the configuration counts as leaks. */
function counted() {
  const found = new Set(pairItems.filter(leaks).map(({ train }) => String(train)));
  return Object.keys(content.train).filter(
    (train) => content.train[train].selected && (content.train[train].leaks || found.has(train)),
  ).length;
}

/* Expected number of selected examples with a duplicate, and its standard deviation. */
function showUncertainty() {
  const clean = new Map(); // selected training example -> probability of no duplicate
  for (const item of pairItems)
    if (content.train[item.train].selected)
      clean.set(item.train, (clean.get(item.train) ?? Number(!content.train[item.train].leaks)) * (1 - chance(item)));
  let expected = 0, variance = 0;
  for (const none of clean.values()) {
    expected += 1 - none;
    variance += none * (1 - none);
  }
  const deviation = Math.sqrt(variance);
  $("uncertainty").hidden = !SELECTED;
  const annotated = pairItems.filter((item) => ["same", "near", "different"].includes(state.decisions.get(item.key)));
  const total = (value) => annotated.reduce((sum, item) => sum + value(item), 0);
  const seen = annotated.length
    ? `; ${total(chance)} of ${annotated.length} annotated pairs are duplicates, ${total(({ probability }) => probability).toFixed(1)} expected`
    : "";
  $("rule").hidden = !SELECTED;
  $("rule").textContent =
    `${counted()} of ${SELECTED} selected examples leak: ${content.rule || "annotated pairs"}`;
  if (!content.calibrated) {
    $("uncertainty").removeAttribute("title");
    $("uncertainty").textContent = `Probabilities are not calibrated on these images${seen}`;
    return;
  }
  const enough = deviation < ENOUGH * SELECTED && annotated.length >= Math.min(FEWEST, pairItems.length);
  $("uncertainty").textContent =
    `${expected.toFixed(1)} ± ${deviation.toFixed(1)} leaks expected after annotating all pairs` +
    seen + (enough ? "; you may stop" : "");
}

function showItem() {
  clearInterval(blinking);
  const item = current();
  $("pair").hidden = item?.item !== "duplicate";
  $("group").hidden = item?.item !== "group";
  showSiblings(item);
  $("empty").hidden = Boolean(item);
  for (const button of document.querySelectorAll("[data-view], #mirror")) button.hidden = item?.item !== "duplicate";
  for (const button of document.querySelectorAll("[data-decision]")) {
    button.disabled = !item;
    button.setAttribute("aria-pressed", Boolean(item) && state.decisions.get(item.key) === button.dataset.decision);
    button.querySelector("small").textContent = item ? QUESTIONS[item.item][button.dataset.decision] : "";
  }
  $("question").textContent = item ? QUESTIONS[item.item].question : "";
  $("item").classList.toggle("smooth", state.smooth);
  $("smooth").setAttribute("aria-pressed", state.smooth);
  if (!item) return showNothing();
  const at = state.list.indexOf(item);
  $("title").textContent = `${at + 1} of ${state.list.length}`;
  $("facts").replaceChildren(...facts(item));
  if (item.item === "group") showGroup(item);
  else showPair(item);
  for (const other of [1, 2, 3, -1].map((step) => state.list[at + step])) {
    if (other) pictures.prefetch(examples(other));
  }
}

const examples = (item) => [...item.trains.map((i) => ["train", i]), ...item.tests.map((i) => ["test", i])];

function showNothing() {
  $("title").textContent = "0 of 0";
  $("facts").replaceChildren();
  $("empty").firstElementChild.textContent = !items.size
    ? "There are no pairs or groups to annotate."
    : [...items.keys()].every((key) => state.decisions.has(key))
      ? "All items are annotated. Export, and set the file in the configuration (review: decisions:)."
      : "No item passes these filters.";
}

function facts(item) {
  const entries = [];
  const fact = (label, value, kind = "") => {
    const entry = element("span", `${label} `, { class: kind });
    if (value !== undefined) entry.append(element("b", value));
    entries.push(entry);
  };
  const classes = [...new Set(labels(item))].map((label) => content.classes[label]);
  if (item.item === "group") {
    fact("group", item.number);
    fact("of", classes.join(", "));
    if (item.influence !== null) fact("highest influence", decimals(item.influence));
  } else {
    fact("found as", item.kind);
    fact("probability", decimals(item.probability));
    if (item.score !== null) fact("score", decimals(item.score));
    if (item.settled !== null) fact("decided by a published annotation");
    if (classes.length > 1) fact("≠ classes differ", undefined, "warn");
  }
  const decision = state.decisions.get(item.key);
  if (decision) fact(`annotated: ${decision}`, undefined, "decision");
  return entries;
}

function caption(node, lines) {
  node.replaceChildren(...lines.filter(Boolean).flatMap((line) => [line, element("br")]));
}

function className(side, index) {
  return content.classes[content[side][index].label];
}

function memorized(index, word) {
  const { memorization } = content.train[index];
  return memorization === null ? null : `${word} ${decimals(memorization)}`;
}

function describe(canvas, side, index) {
  canvas.setAttribute("aria-label", `${side} image ${index}, ${className(side, index)}`);
}

function showPair(item) {
  const { train, test } = item;
  const differ = content.train[train].label !== content.test[test].label;
  for (const [side, index] of [["train", train], ["test", test]]) {
    describe($(side), side, index);
    pictures.draw($(side), [{ side, index, mirror: side === "test" && state.mirror }]);
    const title = element("span", `${side} ${index}`);
    const label = element("span", `${differ ? "≠ " : ""}${className(side, index)}`, { class: differ ? "warn" : "" });
    const line = element("span");
    line.append(title, " · ", label);
    const known = item.influence === null ? null : `influence on it ${decimals(item.influence)}`;
    const file = content[side][index].name;
    caption($(side).nextElementSibling, [
      line,
      side === "test"
        ? known
        : [memorized(index, "memorization"), content.train[index].selected && "selected"].filter(Boolean).join(", "),
      side === "test" && state.mirror ? "shown mirrored" : null,
      file ? element("small", file) : null,
    ]);
  }
  showCompared(item);
}

/* The other training images that may be duplicates of the test image. */
function showSiblings(item) {
  const others = sameTest(item).filter((other) => other !== item);
  $("siblings").hidden = !others.length;
  if (!others.length) return;
  const open = sameTest(item).filter((other) => !state.decisions.has(other.key)).length;
  $("siblings").firstElementChild.textContent =
    `Also compared with this test image (Shift with s, n or d annotates all ${open} without annotation):`;
  $("siblings").lastElementChild.replaceChildren(
    ...others.map((other) => {
      const decision = state.decisions.get(other.key);
      const node = tile("train", other.train, null, [decision ?? `probability ${decimals(other.probability)}`]);
      node.addEventListener("click", () => {
        state.at = other.key;
        keep();
        refresh();
      });
      return node;
    }),
  );
}

/* The third picture: both images, alternating or superimposed. */
function showCompared({ train, test }) {
  $("compared").hidden = !state.view;
  for (const button of document.querySelectorAll("[data-view]"))
    button.setAttribute("aria-pressed", button.dataset.view === state.view);
  $("mirror").setAttribute("aria-pressed", state.mirror);
  if (!state.view) return;
  const a = { side: "train", index: train };
  const b = { side: "test", index: test, mirror: state.mirror };
  const show = (layers, text) => {
    pictures.draw($("compare"), layers);
    $("compare").setAttribute("aria-label", text);
    caption($("compare").nextElementSibling, [text]);
  };
  if (state.view === "overlay") show([a, { ...b, alpha: 0.5 }], "overlay: half of each");
  if (state.view === "difference") show([a, { ...b, blend: "difference" }], "difference: black where equal");
  if (state.view === "blink") {
    let second = false;
    const step = () => {
      show([second ? b : a], second ? "blink: test" : "blink: train");
      second = !second;
    };
    step();
    blinking = setInterval(step, BLINK);
  }
}

function showGroup(item) {
  const total = item.trains.length + item.tests.length;
  $("group").style.setProperty("--across", Math.ceil(total / (total <= 6 ? 1 : total <= 14 ? 2 : 3)));
  $("group").style.setProperty("--narrow", Math.min(3, Math.max(item.trains.length, item.tests.length)));
  const split = new Set(item.members.map((member) => member.part)).size > 1;
  const [members, tests] = [$("members"), $("tests")];
  const images = (examples, side) => `${examples.length} ${side} ${examples.length > 1 ? "images" : "image"}`;
  members.previousElementSibling.textContent = images(item.trains, "training") + splitWords(item, split);
  tests.previousElementSibling.textContent = `${images(item.tests, "test")} that they influence`;
  members.replaceChildren(
    ...item.members.map(({ train, part, like }) => {
      const lines = [memorized(train, "memorization"), like === null ? null : `similarity ${decimals(like)}`];
      return tile("train", train, split ? part || "–" : null, lines);
    }),
  );
  tests.replaceChildren(
    ...item.tests.map((test) => {
      const from = item.links.filter((link) => link[1] === test).sort((a, b) => b[2] - a[2]);
      const lines = from.slice(0, STRONGEST).map(([train, , value]) => `${decimals(value)} from ${train}`);
      if (from.length > STRONGEST) lines.push(`and ${from.length - STRONGEST} more`);
      return tile("test", test, null, lines);
    }),
  );
  for (const node of $("group").querySelectorAll("figure")) {
    node.addEventListener("pointerenter", () => highlight(item, node));
    node.addEventListener("pointerleave", () => highlight(item, null));
    node.addEventListener("focus", () => highlight(item, node));
    node.addEventListener("blur", () => highlight(item, null));
  }
}

function splitWords(item, split) {
  if (!split) return "";
  const parts = new Set(item.members.map((member) => member.part).filter(Boolean)).size;
  const alone = item.members.filter((member) => !member.part).length;
  const words = [];
  if (parts) words.push(`${parts} ${parts > 1 ? "parts" : "part"}`);
  if (alone) words.push(`${alone} without a part`);
  return `; by visual similarity ${words.join(" and ")}`;
}

function tile(side, index, mark, lines) {
  const node = element("figure", undefined, { tabindex: 0, "data-side": side, "data-index": index });
  const canvas = element("canvas", undefined, { role: "img" });
  describe(canvas, side, index);
  pictures.draw(canvas, [{ side, index }]);
  const text = element("figcaption");
  const title = element("span");
  if (mark) {
    const number = mark.charCodeAt(0) - 65 + 26 * (Number(mark.slice(1) || 1) - 1);
    const [colour, ink] = mark === "–" ? ["var(--line)", "var(--ink)"] : PARTS[number % PARTS.length].split(" ");
    node.style.setProperty("--part", colour);
    node.style.setProperty("--on-part", ink);
    node.dataset.part = mark;
    title.append(element("span", mark, { class: "mark" }), " ");
  }
  title.append(`${side} ${index}`);
  const file = content[side][index].name;
  caption(text, [title, ...lines, file ? element("small", file.split("/").pop(), { title: file }) : null]);
  node.append(canvas, text);
  return node;
}

/* Highlight what an image of a group influences or is influenced by; null for none. */
function highlight(item, node) {
  const place = node?.dataset.side === "test" ? 1 : 0;
  const links = item.links.filter((link) => node && link[place] === Number(node.dataset.index));
  const linked = new Set(links.map((link) => `${place ? "train" : "test"} ${link[1 - place]}`));
  for (const other of $("group").querySelectorAll("figure")) {
    other.toggleAttribute("data-linked", linked.has(`${other.dataset.side} ${other.dataset.index}`));
    other.toggleAttribute("data-pointed", other === node);
  }
  for (const tiles of document.querySelectorAll(".tiles")) tiles.classList.toggle("pointing", linked.size > 0);
}

// --- messages -------------------------------------------------------------------------

function say(text) {
  $("status").textContent = text;
}

/* Show a message with buttons until one is pressed. */
function ask(text, answers) {
  $("notice").hidden = false;
  $("notice").firstElementChild.textContent = text;
  $("notice").lastElementChild.replaceChildren(
    ...Object.entries(answers).map(([label, action]) => {
      const button = element("button", label);
      button.addEventListener("click", () => {
        $("notice").hidden = true;
        action();
        $("item").focus();
      });
      return button;
    }),
  );
}

function notify(text) {
  ask(text, { Close: () => {} });
}

// --- files ---------------------------------------------------------------------------------------

function exportDecisions() {
  const link = element("a", undefined, { download: "decisions.csv" });
  link.href = URL.createObjectURL(new Blob([writeDecisions(state.decisions, content.dataset)], { type: "text/csv" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  state.unexported.clear();
  keep();
  showProgress();
  say(`Exported ${state.decisions.size} annotations. Set the file in the configuration: review: decisions:`);
}

async function importDecisions(file) {
  let lines;
  try {
    lines = readDecisions(decode(await file.arrayBuffer()), content.count, content.dataset);
  } catch (error) {
    return notify(`${file.name}: ${error.message}. Nothing was imported.`);
  }
  const matched = lines.filter(({ key }) => items.has(key)).length;
  const fresh = lines.filter(({ key }) => !state.decisions.has(key));
  const conflicts = lines.filter(({ key, decision }) => (state.decisions.get(key) ?? decision) !== decision);
  const pairs = (entries) => entries.map(({ key, decision }) => [key, decision]);
  if (fresh.length) change(pairs(fresh), false);
  const words = [`${file.name}: ${lines.length} lines, ${fresh.length} of them new`];
  words.push(`${matched} about items of this page`);
  if (matched < lines.length) words.push(`${lines.length - matched} about other items, kept for the export`);
  words.push(`${conflicts.length} in conflict with annotations here`);
  if (!conflicts.length) return notify(`${words.join("; ")}.`);
  return ask(`${words.join("; ")}.`, {
    "Keep those of this page": () => {},
    "Use those of the file": () => change(pairs(conflicts), false),
  });
}

// --- keyboard and mouse -----------------------------------------------------------------------------

function setView(view) {
  state.view = state.view === view ? null : view;
  keep();
  showItem();
}

function toggle(what) {
  state[what] = !state[what];
  keep();
  showItem();
}

function openJump() {
  $("filters").open = true;
  $("target").focus();
  $("target").select();
}

const KEYS = {
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
  Home: () => go(0),
  End: () => go(Infinity),
  u: undo,
  b: () => setView("blink"),
  o: () => setView("overlay"),
  x: () => setView("difference"),
  m: () => toggle("mirror"),
  z: () => toggle("smooth"),
  g: openJump,
  e: exportDecisions,
  i: () => $("file").click(),
  "?": () => $("manual").showModal(),
};
["S", "N", "D"].forEach((key, i) => (KEYS[key] = () => decideAll(DECISIONS[i])));
["s1", "n2", "d3", "k4"].forEach((keys, i) => [...keys].forEach((key) => (KEYS[key] = () => decide(DECISIONS[i]))));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("manual").open) return;
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && typing) return $("item").focus();
  if (typing) return;
  // with caps lock, a letter without shift is a small one
  const key = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
  const action = KEYS[key] || KEYS[key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});

for (const id of [...Object.values(FILTERS), "selected"]) {
  let pointed = false; // chosen with the pointer: return the focus, so that keys work
  $(id).addEventListener("pointerdown", () => (pointed = true));
  $(id).addEventListener("keydown", () => (pointed = false));
  $(id).addEventListener("change", () => {
    if (id === "order") state.at = null; // start at the top; other filters keep the item if possible
    state.list = [];
    refresh(id === "order");
    keep();
    if (pointed) $("item").focus();
  });
}
$("jump").addEventListener("submit", (event) => {
  event.preventDefault();
  jump($("target").value);
  $("item").focus();
});
for (const button of document.querySelectorAll("[data-decision]"))
  button.addEventListener("click", () => decide(button.dataset.decision));
for (const button of document.querySelectorAll("[data-view]"))
  button.addEventListener("click", () => setView(button.dataset.view));
for (const [id, action] of Object.entries({
  previous: KEYS.ArrowLeft,
  next: KEYS.ArrowRight,
  mirror: KEYS.m,
  smooth: KEYS.z,
  export: exportDecisions,
  import: KEYS.i,
  help: KEYS["?"],
}))
  $(id).addEventListener("click", action);
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) importDecisions(file);
  $("file").value = ""; // so that the same file can be imported again
});

// The same page may be open in another tab: continue with its annotations.
document.addEventListener("visibilitychange", () => {
  const found = document.hidden ? null : kept(STORAGE_KEY);
  if (!found) return;
  Object.assign(state, { decisions: found.decisions, unexported: found.unexported });
  refresh();
});
window.addEventListener("beforeunload", (event) => {
  if (state.unexported.size) event.preventDefault();
});

const { width, height } = content.sheets;
document.documentElement.style.setProperty("--shape", `${width} / ${height}`);
document.documentElement.style.setProperty("--step", `${Math.min(width, 64)}px`);
content.classes.forEach((label, i) => $("class").append(element("option", label, { value: i })));
const wide = matchMedia("(min-width: 800px)"); // the filters are always shown then, see the style
$("filters").open = wide.matches;
wide.addEventListener("change", () => ($("filters").open = wide.matches));
restore();
refresh(true);
