"use strict";
// The panels around the text: the candidates for the next character, the hidden state, and the legend of the colours.

const NUM_CANDIDATES = 10;

// The candidates as buttons with bars. `take` gets the character of a button that is pressed.
class Candidates {
  constructor(list, characters, take) {
    this.characters = characters;
    this.rows = Array.from({ length: Math.min(NUM_CANDIDATES, characters.length) }, () => {
      const item = list.appendChild(document.createElement("li"));
      const button = item.appendChild(document.createElement("button"));
      button.type = "button";
      const [name, bar, share] = ["bdi", "span", "span"].map((tag) => button.appendChild(document.createElement(tag)));
      const [own, drawn] = ["own", "drawn"].map((style) => {
        const part = bar.appendChild(document.createElement("span"));
        part.className = style;
        return part;
      });
      name.className = "name";
      bar.className = "bar";
      share.className = "share";
      button.addEventListener("click", () => take(this.characters[Number(button.value)]));
      return { item, button, name, own, drawn, share };
    });
  }

  // Show the most probable characters: `p` are the probabilities at temperature 1, `drawn` those with the settings.
  show(p, drawn) {
    const ids = p ? mostProbable(p, this.rows.length) : [];
    this.rows.forEach((row, place) => {
      row.item.hidden = place >= ids.length;
      if (row.item.hidden) return;
      const id = ids[place];
      row.button.value = id;
      row.name.textContent = label(this.characters[id]);
      row.own.style.width = `${100 * p[id]}%`;
      row.drawn.style.width = `${100 * drawn[id]}%`;
      row.share.textContent = percent(drawn[id]);
      row.button.setAttribute("aria-label", `${spoken(this.characters[id])}, ${percent(drawn[id])}`);
    });
  }
}

// The hidden state as squares, one for each unit: blue if negative, orange if positive. `choose` gets the number of a unit
// that is clicked.
class Strip {
  constructor(canvas, states, choose) {
    this.canvas = canvas;
    this.isCell = states.flatMap(({ name, size }) => Array(size).fill(name === "cell"));
    this.states = states;
    this.pitch = this.isCell.length > 300 ? 12 : 20; // pixels of a square with its gap
    canvas.addEventListener("click", (event) => {
      const { left, top } = canvas.getBoundingClientRect();
      const number = this.numberAt(event.clientX - left, event.clientY - top);
      if (number !== undefined) choose(number);
    });
  }

  // The place of each unit, in rows that are as wide as the canvas, with a gap between the states.
  arrange() {
    const { pitch } = this;
    const perRow = Math.max(1, Math.floor(this.canvas.clientWidth / pitch));
    this.places = [];
    let top = 0;
    for (const { size } of this.states) {
      for (let i = 0; i < size; i++) this.places.push([(i % perRow) * pitch, top + Math.floor(i / perRow) * pitch]);
      top += (Math.ceil(size / perRow) + 0.5) * pitch;
    }
    const ratio = window.devicePixelRatio;
    this.canvas.style.height = `${top}px`;
    this.canvas.width = this.canvas.clientWidth * ratio;
    this.canvas.height = top * ratio;
  }

  numberAt(x, y) {
    const isInside = (start, point) => start <= point && point < start + this.pitch;
    const found = this.places.findIndex(([left, top]) => isInside(left, x) && isInside(top, y));
    return found < 0 ? undefined : found;
  }

  // Show a state (S,), or none, and frame the unit that colours the text.
  show(state, chosen) {
    if (this.canvas.width !== Math.floor(this.canvas.clientWidth * window.devicePixelRatio) || !this.places) this.arrange();
    const context = this.canvas.getContext("2d");
    const style = getComputedStyle(this.canvas);
    const [negative, positive, ink, none] = ["--negative", "--positive", "--ink", "--box"].map((name) =>
      style.getPropertyValue(name),
    );
    context.setTransform(window.devicePixelRatio, 0, 0, window.devicePixelRatio, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.places.forEach(([left, top], i) => {
      const value = state ? unitValue(state[i], this.isCell[i]) : 0;
      const square = [left + 0.5, top + 0.5, this.pitch - 2, this.pitch - 2];
      context.globalAlpha = 1;
      context.fillStyle = none;
      context.fillRect(...square);
      context.globalAlpha = Math.abs(value);
      context.fillStyle = value < 0 ? negative : positive;
      context.fillRect(...square);
      if (i === chosen) {
        context.globalAlpha = 1;
        context.strokeStyle = ink;
        context.lineWidth = 2;
        context.strokeRect(left, top, this.pitch - 1, this.pitch - 1);
      }
    });
  }
}

// Say what the colours mean; `colourBy` is called for the unit that is named.
function drawLegend(legend, { kind, number, unit, unit_correlation: r }, unitName, colourBy) {
  const swatch = (style, name) => {
    const i = document.createElement("i");
    i.className = style;
    i.textContent = name;
    return i;
  };
  legend.replaceChildren();
  if (kind === "nothing") return;
  if (kind === "surprise") {
    const swatches = Array.from({ length: MOST_BITS + 1 }, (_, bits) => swatch(`s${bits}`, bits === MOST_BITS ? "8+" : bits));
    legend.append(...swatches, " bits: how much each character surprised it");
    return;
  }
  const styles = ["n3", "n2", "n1", "", "p1", "p2", "p3"];
  legend.append(...styles.map((style, i) => swatch(style, { 0: "−", 3: "0", 6: "+" }[i] ?? "\u00a0")), " ");
  if (kind === "unit") {
    legend.append(`${unitName(number)}, after each character`);
    return;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = unitName(unit);
  button.addEventListener("click", () => colourBy("unit", unit));
  legend.append("below and above its mean. The best single unit is ", button, ` (r ${r.toFixed(2)}).`);
}
