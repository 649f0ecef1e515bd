"use strict";
// The text field and its caret: while another control has the focus, Chromium may move a caret to the beginning of a
// text that a script changes, so the page remembers where it belongs.

class TextField {
  constructor(area) {
    this.area = area;
    this.moveTo(area.value.length);
    area.addEventListener("focus", () => {
      if (area.selectionEnd === 0) area.setSelectionRange(this.start, this.end);
    });
  }

  get hasFocus() {
    return document.activeElement === this.area;
  }

  get value() {
    return this.area.value;
  }

  // Replace the text, with the caret at its end.
  set value(value) {
    this.area.value = value;
    this.moveTo(this.area.value.length);
  }

  moveTo(caret) {
    this.start = this.end = caret;
    if (this.hasFocus) this.area.setSelectionRange(caret, caret); // without it, Safari would take the focus
  }

  // Remember what a person has selected. In a field without the focus, that is nothing.
  readSelection() {
    if (!this.hasFocus) return;
    this.start = this.area.selectionStart;
    this.end = this.area.selectionEnd;
  }

  // Write at the end of the text; a caret that is there stays there.
  append(added) {
    if (!added) return;
    const length = this.value.length;
    const isAtEnd = this.start === length;
    this.area.setRangeText(added, length, length, "preserve");
    if (isAtEnd) this.moveTo(this.value.length);
  }

  // Put a text in the place of what is selected, with the caret after it.
  insert(added) {
    this.area.setRangeText(added, this.start, this.end, "end");
    this.moveTo(this.start + added.length);
  }
}
