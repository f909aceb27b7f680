/* What the components share: elements made of text, icons, and how something is said to the page. */

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
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((one) => one !== null && one !== undefined));
  return made;
}

/** An icon by its name, drawn with lines in the colour of the text. */
function icon(name) {
  const drawn = document.createElementNS(SVG, "svg");
  drawn.setAttribute("viewBox", "0 0 24 24");
  drawn.setAttribute("class", "icon");
  drawn.setAttribute("aria-hidden", "true");
  for (const line of ICONS[name] ?? ICONS.other) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", line);
    drawn.append(path);
  }
  return drawn;
}

/** Runs of text, some of them marked, as nodes. */
function marked(runs) {
  return runs.map(([text, isMarked]) =>
    isMarked ? element("mark", {}, text) : document.createTextNode(text),
  );
}

/** Whether what has the focus takes typed letters. */
function isTyping() {
  let active = document.activeElement;
  while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
  return Boolean(active?.closest?.("input, textarea, select, [contenteditable=true]"));
}

/** Says to the page what was done, until it is heard: what is said in the moment in which a page is
    drawn may be lost. `ui/hearing.py` is the other end. */
class Voice {
  constructor() {
    this.times = 0;
  }

  /** To be called at each update: what was heard is said no more. */
  listen({ data, setStateValue }) {
    this.setState = setStateValue;
    if (data.heard >= this.times) this.stop();
    this.times = Math.max(this.times, data.heard);
  }

  say(what, value = null) {
    this.times += 1;
    this.repeat({ what, value, times: this.times }, 1);
  }

  repeat(act, tries) {
    this.stop();
    this.setState("act", { ...act, tries });
    if (tries < MOST_TRIES) this.unheard = setTimeout(() => this.repeat(act, tries + 1), SAID_AGAIN_MS);
  }

  stop() {
    clearTimeout(this.unheard);
  }
}

/** Calls `then` once a component has left the page: it is cleaned up before each update too, and
    must not be deaf until it is called again. */
function whenGone(parentElement, then) {
  const host = parentElement.host ?? parentElement;
  setTimeout(() => { if (!host.isConnected) then(); }, GONE_MS);
}

const GONE_MS = 50;
const SAID_AGAIN_MS = 1500;
const MOST_TRIES = 5;
