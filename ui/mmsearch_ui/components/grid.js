/* The hits: a grid of pictures, waveforms and excerpts, for the mouse, the finger and the keyboard. */

const EAGER = 12;
const AGAIN_MS = 2000;
const grids = new WeakMap();

class Grid {
  constructor(root) {
    this.root = root;
    this.list = element("div", { class: "grid", role: "listbox", "aria-multiselectable": "true" });
    this.list.setAttribute("aria-label", "Matches");
    this.button = element("button", { type: "button", onclick: () => this.voice.say("more", this.keys.length) }, "Show more");
    this.more = element("div", { class: "more", hidden: true }, this.button);
    this.list.addEventListener("keydown", (event) => this.onKey(event));
    root.append(this.list, this.more);
    this.cards = [];
    this.selected = new Set();
    this.changes = 0;
    this.voice = new Voice();
    this.token = null;
    this.onDocumentKey = (event) => this.onShortcut(event);
  }

  update(component) {
    const { data, setStateValue } = component;
    this.setState = setStateValue;
    this.voice.listen(component);
    if (data.token !== this.token) {
      const known = data.token.split(" ")[0] === this.token?.split(" ")[0] ? this.cards.length : 0;
      this.token = data.token;
      this.draw(data.cards, known);
    }
    // What was picked here meanwhile is newer than what the server knew when it answered.
    if (data.changes >= this.changes) {
      this.changes = data.changes;
      this.selected = new Set(data.selected);
    }
    this.more.hidden = !data.has_more;
    this.button.disabled = false;
    this.show();
  }

  draw(cards, known) {
    if (!known) {
      this.list.replaceChildren();
      this.at = 0;
    }
    this.keys = cards.map((card) => card.key);
    cards.slice(known).forEach((card, step) => this.list.append(this.card(card, known + step)));
    this.cards = [...this.list.children];
    this.cards.forEach((card, at) => { card.tabIndex = at ? -1 : 0; });
  }

  card(card, at) {
    const loading = at < EAGER ? "eager" : "lazy";
    const hasText = card.excerpt.length > 0;
    const frame = element("div", { class: `frame ${card.shape === "paper" ? "paper-frame" : card.shape}` });
    if (card.picture) {
      const picture = element("img", { alt: "", loading, decoding: "async", draggable: "false" });
      picture.addEventListener("error", () => this.again(picture, card));
      picture.src = card.picture;
      frame.append(picture);
    }
    if (card.stretch) {
      const [from, to] = card.stretch;
      frame.append(element("div", { class: "stretch", style: `left:${from * 100}%;width:${(to - from) * 100}%` }));
    }
    if (card.shape !== "picture" && hasText) {
      frame.classList.toggle("said", card.shape === "wave");
      frame.append(element("div", { class: "paper" }, ...marked(card.excerpt)));
    } else if (!card.picture) frame.append(this.lone(card));
    const badge = element("span", { class: "badge" }, icon(card.kind));
    if (card.place) badge.append(card.place);
    if (card.copies) badge.append(icon("copies"), String(card.copies));
    const pick = element("button", { class: "pick", type: "button", tabindex: "-1", "aria-hidden": "true", title: "Select (s)" }, icon("check"));
    pick.addEventListener("click", (event) => { event.stopPropagation(); this.toggle(at); });
    frame.append(badge, pick);
    const line = card.shape === "picture" && hasText ? marked(card.excerpt) : [card.near];
    const made = element(
      "div",
      { class: "card", role: "option", title: [card.name, card.folder, card.why].filter(Boolean).join("\n") },
      frame,
      element("div", { class: "caption" }, element("span", { class: "name" }, card.name), element("span", { class: "score" }, scored(card, ""))),
      element("div", { class: "line" }, ...line),
    );
    made.dataset.key = card.key;
    made.dataset.kind = card.kind;
    made.setAttribute("aria-label", [card.name, card.kind, card.place, scored(card, "score ")].filter(Boolean).join(", "));
    made.addEventListener("click", () => this.open(at));
    return made;
  }

  /** Asks once more in a moment, for the server may be busy; then an icon stands for the picture. */
  again(picture, card) {
    if (picture.dataset.again) {
      picture.replaceWith(this.lone(card));
      return;
    }
    picture.dataset.again = "yes";
    setTimeout(() => { picture.src = card.picture; }, AGAIN_MS);
  }

  lone(card) {
    return element("div", { class: "lone" }, icon(card.kind));
  }

  show() {
    this.list.classList.toggle("picking", this.selected.size > 0);
    this.cards.forEach((card, at) => card.setAttribute("aria-selected", String(this.selected.has(this.keys[at]))));
  }

  open(at) {
    this.focus(at);
    this.voice.say("opened", this.keys[at]);
  }

  toggle(at) {
    const key = this.keys[at];
    if (!this.selected.delete(key)) this.selected.add(key);
    this.changes += 1;
    this.show();
    this.setState("picked", { keys: this.keys.filter((one) => this.selected.has(one)), shown: this.keys.length, changes: this.changes, token: this.token });
  }

  focus(at) {
    this.cards.forEach((card, place) => { card.tabIndex = place === at ? 0 : -1; });
    this.at = at;
    this.cards[at].focus();
    this.cards[at].scrollIntoView({ block: "nearest" });
  }

  columns() {
    return getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.cards.indexOf(event.target.closest(".card"));
    if (at < 0) return;
    const last = this.cards.length - 1;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns(), ArrowDown: this.columns() };
    if (event.key in steps) {
      const next = at + steps[event.key];
      if (next >= 0 && next <= last) this.focus(next);
      else if (event.key === "ArrowUp") focusBox();
    } else if (event.key === "Home") this.focus(0);
    else if (event.key === "End") this.focus(last);
    else if (event.key === "Enter" || event.key === " ") this.open(at);
    else if (event.key === "s") this.toggle(at);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  onShortcut(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('[role="dialog"]')) return;
    if (!this.cards.length || event.defaultPrevented) return;
    const isLost = document.activeElement === document.body;
    const isDown = event.key === "ArrowDown" && event.target.closest?.(".st-key-q");
    if (isDown || (isLost && event.key.startsWith("Arrow"))) {
      event.preventDefault();
      this.focus(isDown ? 0 : Math.min(this.at, this.cards.length - 1));
    }
  }

  listen() {
    document.addEventListener("keydown", this.onDocumentKey);
  }

  leave() {
    this.voice.stop();
    document.removeEventListener("keydown", this.onDocumentKey);
  }
}

function scored(card, before) {
  return card.score === null ? null : `${before}${card.score.toFixed(2)}`;
}

function focusBox() {
  const box = document.querySelector(".st-key-q input");
  box?.focus();
  box?.select();
}

export default function (component) {
  const { parentElement } = component;
  if (!grids.has(parentElement)) grids.set(parentElement, new Grid(parentElement));
  const grid = grids.get(parentElement);
  grid.update(component);
  grid.listen();
  return () => whenGone(parentElement, () => grid.leave());
}
