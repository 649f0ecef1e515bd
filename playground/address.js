"use strict";
// The address of the page: after its #, the settings and the beginning of the text, so that a link repeats a sample.

const LONGEST_LINK = 4000; // characters of the beginning; some programs cut longer addresses
const FIELDS = ["temperature", "top_k", "top_p", "seed", "colour", "unit"];

// Write the address, if the beginning is not too long for one.
function saveAddress() {
  const fields = FIELDS.map((id) => [id, element(id).value]);
  const address = new URLSearchParams([["text", sample.beginning], ["length", sample.length], ...fields, ["model", model]]);
  const hash = isLinkable() ? `#${address}` : "#";
  if (hash !== location.hash) history.replaceState(null, "", hash);
}

function isLinkable() {
  return sample.beginning.length <= LONGEST_LINK;
}

// Set the fields that the address has, and write the sample again.
function openAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  for (const id of FIELDS.filter((id) => address.has(id))) {
    const field = element(id);
    const before = field.value;
    const value = field.type === "select-one" ? address.get(id) : Number(address.get(id));
    if (Number.isNaN(value)) continue; // a browser would complain on the console
    field.value = value;
    if (field.type === "number") clean(field);
    if (field.value === "") field.value = before; // a choice that this page lacks
  }
  showValues();
  if (address.has("text")) text.value = address.get("text");
  restart();
  colourBy(element("colour").value, Number(element("unit").value) - 1);
  const length = Math.trunc(Number(address.get("length")));
  if (length > 0) {
    write(Math.min(length, LONGEST));
    isHurried = true;
  }
  if (address.has("model") && address.get("model") !== model) {
    say("This link was made with another model, so the sample differs.");
  }
}

// Copy the link to the text as it is; what the network would still write is not in it.
async function copyLink() {
  stop();
  saveAddress();
  if (!isLinkable()) {
    say(`The beginning has more than ${LONGEST_LINK.toLocaleString("en")} characters, too many for a link.`);
    return;
  }
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied. It repeats this sample exactly.");
  } catch {
    say("The address of this page is the link; it repeats this sample exactly.");
  }
}
