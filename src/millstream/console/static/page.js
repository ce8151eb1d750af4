// What the page does beside htmx: it rests while nobody looks, presses no button twice, and says when it is cut off.
"use strict";

const board = () => document.getElementById("board");
const told = () => document.getElementById("told");
const requestOf = (event) => event.detail.ctx.request;

document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden && requestOf(event).method === "GET") event.preventDefault();
});

const acting = (event, busy) => {
  const ctx = event.detail.ctx;
  ctx.pressedIn ??= ctx.sourceElement.closest("form"); // the board may drop the form before the act has ended
  for (const button of ctx.pressedIn ? ctx.pressedIn.querySelectorAll("button") : []) button.disabled = busy;
};

document.addEventListener("htmx:before:request", (event) => {
  if (requestOf(event).method !== "GET") acting(event, true);
});

document.addEventListener("htmx:finally:request", (event) => {
  if (requestOf(event).method === "GET") return;
  acting(event, false);
  const { pressedIn, sourceElement } = event.detail.ctx;
  const kept = told().querySelector(".good");
  if (kept && pressedIn) for (const written of pressedIn.querySelectorAll("textarea")) written.value = "";
  (kept ? told() : sourceElement).focus(); // what was pressed may go: whoever uses the keyboard goes on from what was said
  board().dispatchEvent(new CustomEvent("acted"));
});

document.addEventListener("htmx:after:request", () => document.body.classList.remove("cut-off"));
document.addEventListener("htmx:error", () => document.body.classList.add("cut-off"));
