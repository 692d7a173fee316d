"use strict";
// Whatever a page shows is made here, of text nodes and attributes: there is no markup from data anywhere.

const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a child is a node or text, null and undefined are left out. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The same of a drawing (SVG). */
function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A button with what it does. */
function button(attributes, act, ...children) {
  const node = make("button", { type: "button", ...attributes }, ...children);
  node.addEventListener("click", act);
  return node;
}
