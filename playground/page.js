"use strict";
// The page: what the buttons and fields do, and the loop that reads, writes and draws a bit at a time.

const { network: packed, model, beginning, states, findings } = JSON.parse(document.getElementById("contents").textContent);
const element = (id) => document.getElementById(id);
const network = new Network(packed);
const shown = shownAs(network.characters);
const ids = new Map(network.characters.map((character, id) => [shown.get(character), id]));
const reading = new Reading(network);
const text = new TextField(element("text"));
const FRAME = 12; // milliseconds of computing between two times that the page is drawn
const LONGEST = Math.max(1000, Math.min(20000, Math.floor(2 ** 25 / network.stateSize))); // characters, for memory
const USUAL_LENGTH = 300; // characters of another sample if there was none
const BEGIN = "Write a beginning of at least one character that the network knows.";

let colouring = new Colouring(reading, { kind: "surprise" });
let drawn = []; // the coloured lines that are on the page
let sample; // how the text came about: its beginning, the generator, and how many characters have been drawn since
let wanted = 0; // characters that are still to be written
let due = 0; // when the next one is, in milliseconds
let isHurried = false; // whether to ignore the pace, because a link repeats a sample
let isScheduled = false;

const candidates = new Candidates(element("candidates"), network.characters, take);
const strip = new Strip(element("strip"), states, (number) => colourBy("unit", number));

const settings = () => ({
  temperature: Number(element("temperature").value),
  topK: Number(element("top_k").value),
  topP: Number(element("top_p").value),
});

// Say something about the text as it is now; a change of it or of its settings takes the notice away.
function say(notice) {
  if (element("notice").textContent !== notice) element("notice").textContent = notice;
}

// The text is the beginning of the next sample, whoever wrote it.
function restart() {
  sample = { beginning: text.value, random: generator(Number(element("seed").value)), length: 0 };
  say("");
  stop();
}

function stop() {
  wanted = 0;
  isHurried = false;
  schedule();
}

// Let the network write this many characters at the end of the text.
function write(length) {
  wanted = length;
  due = performance.now();
  text.moveTo(text.value.length);
  say("");
  schedule();
}

function schedule() {
  if (!isScheduled) requestAnimationFrame(frame);
  isScheduled = true;
}

function frame(now) {
  isScheduled = false;
  text.readSelection();
  const end = performance.now() + FRAME;
  const unknown = follow();
  while (performance.now() < end && reading.advance());
  const isRead = reading.length === reading.ids.length;
  if (isRead && wanted > 0) append(now, end);
  draw(unknown);
  if (wanted > 0 || !isRead) schedule();
  else saveAddress();
}

// Follow the text; return the characters that the network does not know, with their counts.
function follow() {
  const unknown = new Map();
  const known = [];
  for (const character of text.value) {
    if (ids.has(character)) known.push(ids.get(character));
    else unknown.set(character, (unknown.get(character) ?? 0) + 1);
  }
  colouring.keep(reading.follow(known));
  return unknown;
}

// Write the characters that are due, until the frame ends.
function append(now, end) {
  const pace = isHurried ? Infinity : Number(element("pace").value);
  let added = "";
  while (wanted > 0 && now >= due && performance.now() < end) {
    if (!reading.length || reading.length >= LONGEST) {
      say(reading.length ? `The text has ${LONGEST.toLocaleString("en")} characters, the most that this page can hold.` : BEGIN);
      wanted = 0;
      break;
    }
    const id = pick(probabilities(reading.logits, settings()), sample.random());
    reading.ids.push(id);
    reading.advance();
    added += shown.get(network.characters[id]);
    sample.length++;
    wanted--;
    due = Math.max(due + 1000 / pace, now - 100);
  }
  text.append(added);
}

function draw(unknown) {
  const paper = element("paper");
  const isAtEnd = paper.scrollTop + paper.clientHeight > paper.scrollHeight - 8;
  const caret = text.end < text.value.length ? text.end : -1;
  const now = colouredLines(text.value, ids, colouring, caret);
  drawLines(element("coloured"), drawn, now);
  drawn = now;
  if (wanted > 0 && isAtEnd) paper.scrollTop = paper.scrollHeight;
  element("write").textContent = wanted > 0 ? "Stop" : "Continue";
  drawTotal(unknown);
  drawPlace();
}

function drawTotal(unknown) {
  const [n, all] = [reading.length, reading.ids.length];
  const count = `${all.toLocaleString("en")} ${all === 1 ? "character" : "characters"}`;
  const bits = n > 1 ? `, ${(reading.total() / (n - 1)).toFixed(2)} bits each` : "";
  element("total").textContent = n < all ? `reading ${n.toLocaleString("en")} of ${count} …` : `${count}${bits}`;
  const names = Array.from(unknown, ([character, times]) => `“${label(character)}”${times > 1 ? ` (${times} times)` : ""}`);
  const more = names.length > 5 ? ` and ${names.length - 5} more` : "";
  const message = names.length ? `The network does not know ${names.slice(0, 5).join(", ")}${more}; it skips them.` : "";
  if (element("unknown").textContent !== message) element("unknown").textContent = message;
}

// Show what the network expects at the caret, and its hidden state there.
function drawPlace() {
  const before = Array.from(text.value.slice(0, text.end)).filter((character) => ids.has(character));
  const n = before.length;
  const chosen = colouring.choice.kind === "unit" ? colouring.choice.number : undefined;
  if (n === 0 || n > reading.length) {
    element("place").textContent = n ? "reading …" : BEGIN;
    candidates.show(null);
    strip.show(null, chosen);
    return;
  }
  const bits = reading.bits[n - 1];
  const was = Number.isNaN(bits) ? "is the first" : `had a probability of ${percent(2 ** -bits)}: ${bits.toFixed(1)} bits`;
  element("place").textContent = `“${label(before[n - 1])}” ${was}. After it:`;
  const logits = n === reading.length ? reading.logits : network.logits(reading.state(n));
  candidates.show(softmax(logits), probabilities(logits, settings()));
  strip.show(reading.state(n), chosen);
}

// Insert a character at the caret.
function take(character) {
  text.insert(shown.get(character));
  restart();
}

function unitName(number) {
  let first = 0;
  for (const { name, layer, size } of states) {
    if (number < first + size) return `${name} ${number - first + 1}${layer ? ` of layer ${layer}` : ""}`;
    first += size;
  }
}

// Colour the text by "surprise", "nothing", a "unit" of this number, or "probe-0", "probe-1" …
function colourBy(kind, number = 0) {
  element("colour").value = kind;
  element("unit").value = number + 1;
  element("unit-field").hidden = kind !== "unit";
  const finding = findings[kind.split("-")[1]];
  const choice = finding
    ? { kind: "probe", ...finding, weights: new Float32Array(bytes(finding.weights)) }
    : { kind, number, isCell: strip.isCell[number] };
  colouring = new Colouring(reading, choice);
  drawLegend(element("legend"), choice, unitName, colourBy);
  say("");
  schedule();
}

// The whole number in a field, brought into its range.
function clean(field) {
  const value = Math.trunc(Number(field.value)) || 0;
  field.value = Math.min(Number(field.max), Math.max(Number(field.min), value));
}

function showValues() {
  for (const id of ["temperature", "top_p"]) element(`${id}-value`).textContent = Number(element(id).value).toFixed(2);
}

text.area.addEventListener("input", restart);
document.addEventListener("selectionchange", schedule);
text.area.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
  if (event.key === "Enter" && event.ctrlKey) element("write").click();
});
element("write").addEventListener("click", () => (wanted > 0 ? stop() : write(Infinity)));
element("one").addEventListener("click", () => write(1));
element("back").addEventListener("click", () => {
  text.value = sample.beginning;
  restart();
});
element("another").addEventListener("click", () => {
  const length = wanted > 0 ? Infinity : sample.length || USUAL_LENGTH;
  element("seed").value = Number(element("seed").value) + 1;
  text.value = sample.beginning;
  restart();
  write(length);
});
element("link").addEventListener("click", copyLink);
for (const id of ["temperature", "top_p", "top_k", "seed"]) {
  element(id).addEventListener("input", () => {
    if (element(id).type === "number") clean(element(id));
    showValues();
    restart();
  });
}
element("colour").addEventListener("change", (event) => colourBy(event.target.value, Number(element("unit").value) - 1));
element("unit").max = network.stateSize;
element("unit").addEventListener("input", (event) => {
  clean(event.target);
  colourBy("unit", Number(event.target.value) - 1);
});
for (const query of ["(prefers-color-scheme: dark)", "(max-width: 48rem)"]) {
  window.matchMedia(query).addEventListener("change", schedule);
}
window.addEventListener("resize", schedule);
window.addEventListener("hashchange", () => openAddress());
text.area.maxLength = LONGEST;
text.value = Array.from(beginning, (character) => shown.get(character)).join("");
openAddress();
