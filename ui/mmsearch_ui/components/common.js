/* Shared by the components: elements made of text, icons, and events that are sent to the page. */

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  image: ["M4 5h16v14H4z", "M4 16l5-5 4 4 3-3 4 4", "M15.5 9h.01"],
  video: ["M4 5h16v14H4z", "M10 9l5 3-5 3z"],
  audio: ["M4 10v4", "M8 7v10", "M12 4v16", "M16 8v8", "M20 11v2"],
  text: ["M6 3h9l4 4v14H6z", "M9 11h7", "M9 15h7"],
  other: ["M6 3h9l4 4v14H6z"],
  check: ["M5 12l5 5 9-10"],
  copies: ["M8 8h12v12H8z", "M16 8V4H4v12h4"],
};

/** An element with attributes and children; a string among them becomes a text node. */
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An icon by its name, drawn with lines in the colour of the text. */
function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  for (const line of ICONS[name] ?? ICONS.other) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", line);
    svg.append(path);
  }
  return svg;
}

/** The icon of a kind, in place of a picture. */
function placeholder({ kind }) {
  return element("div", { class: "lone" }, icon(kind));
}

/** Runs of text, some of them marked, as nodes. */
function markRuns(runs) {
  return runs.map(([text, isMarked]) =>
    isMarked ? element("mark", {}, text) : document.createTextNode(text),
  );
}

/** Tests if the focused element takes typed letters. */
function isTyping() {
  let active = document.activeElement;
  while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
  return Boolean(active?.closest?.("input, textarea, select, [contenteditable=true]"));
}

/** Sends events to the page, each again until it is acknowledged: an event that arrives while a page
    is drawn may be lost. `event_acknowledgement.py` is the other end. */
class EventSender {
  constructor() {
    this.number = 0;
  }

  /** Takes the acknowledgement of an update; to be called at each. */
  update({ data, setStateValue }) {
    this.setState = setStateValue;
    if (data.acknowledged >= this.number) this.stop();
    this.number = Math.max(this.number, data.acknowledged);
  }

  send(name, value = null) {
    this.number += 1;
    this.repeat({ name, value, number: this.number }, 1);
  }

  repeat(event, attempt) {
    this.stop();
    this.setState("event", { ...event, attempt });
    if (attempt < MAX_ATTEMPTS) this.timer = setTimeout(() => this.repeat(event, attempt + 1), RETRY_MS);
  }

  stop() {
    clearTimeout(this.timer);
  }
}

/** A component as Streamlit calls it: an instance for each mounted element, updated at each call.
    Streamlit asks for a clean-up before each update too, during which listeners must stay: so the
    instance leaves only if its element is gone a moment later. */
function mount(create) {
  const instances = new WeakMap();
  return (component) => {
    const { parentElement } = component;
    if (!instances.has(parentElement)) instances.set(parentElement, create(parentElement));
    const instance = instances.get(parentElement);
    instance.update(component);
    const host = parentElement.host ?? parentElement;
    return () => setTimeout(() => { if (!host.isConnected) instance.leave(); }, GONE_MS);
  };
}

const GONE_MS = 50;
const RETRY_MS = 1500;
const MAX_ATTEMPTS = 5;
