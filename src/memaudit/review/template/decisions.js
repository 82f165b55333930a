"use strict";
/* The decisions file: RFC 4180, one line per annotated item, sorted so that exports can be compared. */

const DECISIONS = ["same", "near", "different", "skip"];
const SIDES = { train: "training", test: "test" };
const COLUMNS = ["item", "train", "test", "decision"];
const DATASET = "dataset"; // optional column: the first DIGITS digits of the dataset's digest
const DIGITS = 16;

/* Key of an item in the file and in the browser's storage: its kind and its examples, ascending. */
function keyOf(kind, train, test) {
  const text = (examples) => [...examples].sort((a, b) => a - b).join(" ");
  return `${kind},${text(train)},${text(test)}`;
}

function compareNumbers(a, b) {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/* Compare by kind of item, training examples, test examples, as numbers. */
function compareKeys(a, b) {
  const [kindA, ...examplesA] = a.split(",");
  const [kindB, ...examplesB] = b.split(",");
  if (kindA !== kindB) return kindA < kindB ? -1 : 1;
  const numbers = (text) => text.split(" ").map(Number);
  return (
    compareNumbers(numbers(examplesA[0]), numbers(examplesB[0])) ||
    compareNumbers(numbers(examplesA[1]), numbers(examplesB[1]))
  );
}

/* Return the text of the file. No field can contain a comma, quote or line end, so none is quoted. */
function writeDecisions(decisions, dataset) {
  const line = (key) => `${key},${decisions.get(key)},${dataset.slice(0, DIGITS)}`;
  const lines = [...decisions.keys()].sort(compareKeys).map(line);
  return [[...COLUMNS, DATASET].join(","), ...lines].join("\n") + "\n";
}

/* Return the text of a file: UTF-8 with or without a mark, or UTF-16, as spreadsheets save it. */
function decode(buffer) {
  const [a, b] = new Uint8Array(buffer);
  const encoding = a === 0xff && b === 0xfe ? "utf-16le" : a === 0xfe && b === 0xff ? "utf-16be" : "utf-8";
  return new TextDecoder(encoding).decode(buffer);
}

/* Return what separates the columns, and the text without a first line such as "sep=;" that names it. */
function delimiterOf(text) {
  const named = /^sep=(.)\r?\n/i.exec(text);
  if (named) return [named[1], text.slice(named[0].length)];
  const first = text.split("\n", 1)[0];
  const count = (c) => first.split(c).length;
  return [[",", ";", "\t"].reduce((best, c) => (count(c) > count(best) ? c : best)), text];
}

/* Parse CSV to [{line, fields}] without blank lines. Throws on an unclosed quote. */
function parseCsv(whole) {
  const [delimiter, rest] = delimiterOf(whole);
  let text = rest;
  const records = [];
  let line = 1, start = 1, fields = [], field = "", quoted = false;
  const endRecord = () => {
    fields.push(field);
    if (fields.some((value) => value.trim())) records.push({ line: start, fields });
    fields = [];
    field = "";
    start = line + 1;
  };
  text = text.replace(/\r\n?/g, "\n");
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === '"' && text[i + 1] === '"') field += text[i++];
      else if (c === '"') quoted = false;
      else field += c;
    } else if (c === '"' && field === "") quoted = true;
    else if (c === delimiter) {
      fields.push(field);
      field = "";
    } else if (c === "\n") endRecord();
    else field += c;
    if (c === "\n") line++;
  }
  if (quoted) throw new Error(`line ${start}: unclosed quote`);
  if (field || fields.length) endRecord();
  return records;
}

/* Parse a decisions file to [{line, key, decision}], by the same rules as the workflow.

   `count` holds the numbers of training and test examples of `dataset`. Throws an Error that names the line and the
   problem. */
function readDecisions(text, count, dataset) {
  const [header, ...records] = parseCsv(text);
  if (!header) throw new Error("the file is empty");
  const names = header.fields.map((name) => name.trim());
  const places = COLUMNS.map((name) => names.indexOf(name));
  if (places.includes(-1))
    throw new Error(`the first line must be ${COLUMNS.join(",")}, but is ${header.fields.join(",").slice(0, 80)}`);
  const found = new Map();
  for (const { line, fields } of records) {
    const wrong = (what) => new Error(`line ${line}: ${what}`);
    if (fields.length !== names.length) throw wrong(`${fields.length} fields, expected ${names.length}`);
    const [kind, train, test, decision] = places.map((place) => fields[place].trim().toLowerCase());
    if (kind !== "duplicate" && kind !== "group") throw wrong(`item “${kind}” is neither duplicate nor group`);
    const examples = { train, test };
    for (const side of ["train", "test"]) {
      if (!/^\d+( +\d+)*$/.test(examples[side])) throw wrong(`${side} “${examples[side]}” is not an index`);
      examples[side] = examples[side].split(/ +/).map(Number);
      const beyond = examples[side].find((index) => index >= count[side]);
      if (beyond !== undefined)
        throw wrong(`${SIDES[side]} example ${beyond} is out of range; indices go from 0 to ${count[side] - 1}`);
      if (kind === "duplicate" && examples[side].length > 1)
        throw wrong(`a duplicate must have exactly one ${SIDES[side]} example`);
    }
    if (!dataset.startsWith((fields[names.indexOf(DATASET)] ?? "").trim()))
      throw wrong("this decision was made on another dataset");
    if (!DECISIONS.includes(decision)) throw wrong(`decision “${decision}” is none of ${DECISIONS.join(", ")}`);
    const key = keyOf(kind, examples.train, examples.test);
    const earlier = found.get(key);
    if (earlier && earlier.decision !== decision)
      throw wrong(`${decision}, but line ${earlier.line} annotates the same item as ${earlier.decision}`);
    if (!earlier) found.set(key, { line, key, decision });
  }
  return [...found.values()];
}
