"use strict";
// A tap shows what a mouse shows when it rests on a character, and frames the character.
const tip = document.getElementById("tip");
let tapped;
document.addEventListener("click", (event) => {
  tapped?.classList.remove("here");
  tapped = event.target.closest("i[title]");
  tapped?.classList.add("here");
  tip.hidden = !tapped;
  if (tapped) tip.textContent = tapped.title;
});

// What each prediction looks back at: a digit for every character up to it, 9 for the one that moved it most.
const trace = document.getElementById("trace");
if (trace) {
  const characters = [...trace.children];
  const first = characters.findIndex((character) => character.dataset.d);
  let here = characters.length - 1;
  const show = (place) => {
    here = Math.max(first, Math.min(place, characters.length - 1));
    const { d, next } = characters[here].dataset;
    characters.forEach((character, i) => {
      character.className = "c" + (d[i - here + d.length - 1] || "");
    });
    characters[here].classList.add("here");
    document.getElementById("next").textContent = next;
  };
  const point = (event) => {
    if (event.target.dataset.d) show(characters.indexOf(event.target));
  };
  trace.addEventListener("pointerover", point);
  trace.addEventListener("click", point);
  trace.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      event.preventDefault();
      show(here + step);
    }
  });
}
