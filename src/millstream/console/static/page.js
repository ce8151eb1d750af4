// What the page does beside htmx: it rests while nobody looks, presses no button twice, and says when it is cut off.
"use strict";

const board = () => document.getElementById("board");
const told = () => document.getElementById("told");
const requestOf = (event) => event.detail.ctx.request;

document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden && requestOf(event).method === "GET") event.preventDefault();
});

const acting = (event, busy) => {
  if (requestOf(event).method === "GET") return;
  const form = event.detail.ctx.sourceElement.closest("form");
  for (const button of form ? form.querySelectorAll("button") : []) button.disabled = busy;
};

document.addEventListener("htmx:before:request", (event) => acting(event, true));

document.addEventListener("htmx:finally:request", (event) => {
  acting(event, false);
  if (requestOf(event).method === "GET") return;
  const button = event.detail.ctx.sourceElement;
  const kept = told().querySelector(".good");
  if (kept) for (const written of button.closest("form").querySelectorAll("textarea")) written.value = "";
  (kept ? told() : button).focus(); // what was pressed may go away: whoever uses the keyboard goes on from what was said
  board().dispatchEvent(new CustomEvent("acted"));
});

document.addEventListener("htmx:after:request", () => document.body.classList.remove("cut-off"));
document.addEventListener("htmx:error", () => document.body.classList.add("cut-off"));
