"use strict";
// How characters are shown, and which colour each has: by its surprise, or by the network's state after it.

const MOST_BITS = 8; // at the darkest level of surprise
const MOST_DEVIATIONS = 3; // at the darkest level of a state
const JOINED = /[\p{M}\u200c\u200d\u{1f3fb}-\u{1f3ff}]/u;

// How the text field shows each character of an alphabet: as itself, or as a symbol if the field would change it (a
// carriage return) or it is invisible.
function shownAs(characters) {
  const shown = new Map();
  for (const character of characters) {
    const code = character.codePointAt(0);
    const picture = code === 127 ? "\u2421" : String.fromCodePoint(0x2400 + code);
    const hidden = (code < 32 && !"\n\t".includes(character)) || code === 127;
    shown.set(character, hidden && !characters.includes(picture) ? picture : character);
  }
  return shown;
}

// A character in a list, where spaces and combining marks would be invisible too.
function label(character) {
  if (character === " ") return "␣";
  if (character === "\n") return "⏎";
  if (character === "\t") return "⇥";
  if (/\p{M}/u.test(character)) return `◌${character}`;
  if (/[\p{C}\p{Z}]/u.test(character)) return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  return character;
}

// A character for a screen reader.
function spoken(character) {
  return { " ": "space", "\n": "line break", "\t": "tab" }[character] ?? label(character);
}

// A probability in percent, with a digit after the point below ten.
function percent(share) {
  if (share === 0) return "0%";
  return share < 0.0005 ? "<0.1%" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;
}

// The value of a unit in -1 … 1; a cell of an LSTM has no bounds, so its tanh is shown.
function unitValue(value, isCell) {
  return isCell ? tanh(value) : Math.max(-1, Math.min(value, 1));
}

function signedLevel(deviations) {
  const level = Math.round(Math.max(-MOST_DEVIATIONS, Math.min(deviations, MOST_DEVIATIONS)));
  return level ? `${level < 0 ? "n" : "p"}${Math.abs(level)}` : "";
}

// The colours of the characters of a reading, computed once for each. `choice` has the kind "surprise", "nothing", "unit"
// (with its number and whether it is a cell) or "probe" (with its weights, bias and deviation).
class Colouring {
  constructor(reading, choice) {
    this.reading = reading;
    this.choice = choice;
    this.styles = [];
  }

  // Forget the colours of all but the first n characters.
  keep(n) {
    this.styles.length = Math.min(n, this.styles.length);
  }

  // The style of the n-th character, or "" if it is not read yet.
  style(n) {
    while (this.styles.length <= n && this.styles.length < this.reading.length) {
      this.styles.push(this.compute(this.styles.length));
    }
    return this.styles[n] ?? "";
  }

  compute(n) {
    const { kind, number, isCell, weights, bias, deviation } = this.choice;
    if (kind === "surprise") {
      const bits = this.reading.bits[n];
      return Number.isNaN(bits) ? "" : `s${Math.min(Math.floor(bits), MOST_BITS)}`;
    }
    if (kind === "nothing") return "";
    const state = this.reading.state(n + 1);
    if (kind === "unit") return signedLevel(MOST_DEVIATIONS * unitValue(state[number], isCell));
    return signedLevel((state.reduce((sum, value, i) => sum + value * weights[i], 0) + bias) / deviation);
  }
}

// The lines of a text, each as pieces of one style. Characters that are drawn as one have the style of the first. `ids`
// maps what is shown to ids; what is not in it has the style "unknown". The character before `caret` is framed.
function colouredLines(text, ids, colouring, caret) {
  const lines = [[]];
  let n = 0;
  let place = 0;
  for (const character of text) {
    const known = ids.has(character);
    place += character.length;
    const last = lines.at(-1).at(-1);
    if (last && (JOINED.test(character) || last.text.endsWith("\u200d"))) {
      last.text += character;
    } else {
      let style = known ? colouring.style(n) : "unknown";
      if (place === caret) style += " here";
      if (last?.style === style && !style.endsWith("here")) last.text += character;
      else lines.at(-1).push({ style, text: character });
    }
    if (character === "\n") lines.push([]);
    n += known;
  }
  return lines;
}

const isSame = (one, other) => one?.style === other.style && one.text === other.text;

// Draw lines in an element, each in a block of its own, so that each has its own text direction, as in a text field. The
// beginning that has not changed is not drawn again.
function drawLines(element, before, now) {
  const isSameLine = (pieces, n) => pieces.length === before[n]?.length && pieces.every((own, i) => isSame(before[n][i], own));
  const changed = now.findIndex((pieces, n) => !isSameLine(pieces, n));
  const first = changed < 0 ? now.length : changed;
  while (element.childNodes.length > Math.min(first + 1, now.length)) element.lastChild.remove();
  for (let n = first; n < now.length; n++) {
    const line = element.childNodes[n] ?? element.appendChild(document.createElement("div"));
    drawPieces(line, n === first ? before[n] ?? [] : [], now[n]);
  }
}

function drawPieces(line, before, now) {
  let same = 0;
  while (same < now.length && isSame(before[same], now[same])) same++;
  while (line.childNodes.length > same) line.lastChild.remove();
  for (const { style, text } of now.slice(same)) {
    const piece = line.appendChild(document.createElement("i"));
    piece.className = style;
    piece.textContent = text;
  }
}
