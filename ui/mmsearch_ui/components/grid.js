/* The hits: a grid of pictures, waveforms and excerpts, for mouse, touch and keyboard. */

const EAGER = 12;
const RETRY_IMAGE_MS = 2000;

class Grid {
  constructor(root) {
    this.root = root;
    this.list = element("div", { class: "grid", role: "listbox", "aria-multiselectable": "true" });
    this.list.setAttribute("aria-label", "Matches");
    this.button = element("button", { type: "button", onclick: () => this.events.send("more", this.keys.length) }, "Show more");
    this.more = element("div", { class: "more", hidden: true }, this.button);
    this.list.addEventListener("keydown", (event) => this.onKey(event));
    root.append(this.list, this.more);
    this.cards = [];
    this.selected = new Set();
    this.changes = 0;
    this.events = new EventSender();
    this.token = null;
    this.onDocumentKey = (event) => this.onShortcut(event);
  }

  update(component) {
    const { data, setStateValue } = component;
    this.setState = setStateValue;
    this.events.update(component);
    if (data.token !== this.token) {
      const kept = data.token.split(" ")[0] === this.token?.split(" ")[0] ? this.cards.length : 0;
      this.token = data.token;
      this.draw(data.cards, kept);
    }
    // A selection that was changed here meanwhile is newer than the one that the server sent.
    if (data.changes >= this.changes) {
      this.changes = data.changes;
      this.selected = new Set(data.selected);
    }
    this.more.hidden = !data.has_more;
    this.button.disabled = false;
    this.show();
    document.addEventListener("keydown", this.onDocumentKey);
  }

  /** Draws the cards after the first `kept`, which are there already. */
  draw(cards, kept) {
    if (!kept) {
      this.list.replaceChildren();
      this.at = 0;
    }
    this.keys = cards.map((card) => card.key);
    cards.slice(kept).forEach((card, step) => this.list.append(this.card(card, kept + step)));
    this.cards = [...this.list.children];
    this.cards.forEach((card, at) => { card.tabIndex = at ? -1 : 0; });
  }

  card(card, at) {
    const loading = at < EAGER ? "eager" : "lazy";
    const hasText = card.excerpt.length > 0;
    const frame = element("div", { class: `frame ${card.shape === "paper" ? "paper-frame" : card.shape}` });
    if (card.picture) {
      const picture = element("img", { alt: "", loading, decoding: "async", draggable: "false" });
      picture.addEventListener("error", () => this.retryImage(picture, card));
      picture.src = card.picture;
      frame.append(picture);
    }
    if (card.wave_share) {
      const [from, to] = card.wave_share;
      frame.append(element("div", { class: "stretch", style: `left:${from * 100}%;width:${(to - from) * 100}%` }));
    }
    if (card.shape !== "picture" && hasText) {
      frame.classList.toggle("transcribed", card.shape === "wave");
      frame.append(element("div", { class: "paper" }, ...markRuns(card.excerpt)));
    } else if (!card.picture) frame.append(placeholder(card));
    const badge = element("span", { class: "badge" }, icon(card.kind));
    if (card.place) badge.append(card.place);
    if (card.copies) badge.append(icon("copies"), String(card.copies));
    const pick = element("button", { class: "pick", type: "button", tabindex: "-1", "aria-hidden": "true", title: "Select (s)" }, icon("check"));
    pick.addEventListener("click", (event) => { event.stopPropagation(); this.toggle(at); });
    frame.append(badge, pick);
    const line = card.shape === "picture" && hasText ? markRuns(card.excerpt) : [card.near_folders];
    const node = element(
      "div",
      { class: "card", role: "option", title: [card.name, card.folder, card.why].filter(Boolean).join("\n") },
      frame,
      element("div", { class: "caption" }, element("span", { class: "name" }, card.name), element("span", { class: "score" }, formatScore(card))),
      element("div", { class: "line" }, ...line),
    );
    node.dataset.key = card.key;
    node.dataset.kind = card.kind;
    node.setAttribute("aria-label", [card.name, card.kind, card.place, formatScore(card, "score ")].filter(Boolean).join(", "));
    node.addEventListener("click", () => this.open(at));
    return node;
  }

  /** Loads an image once more after a pause, as the server may be busy; then shows an icon. */
  retryImage(picture, card) {
    if (picture.dataset.retried) {
      picture.replaceWith(placeholder(card));
      return;
    }
    picture.dataset.retried = "yes";
    setTimeout(() => { picture.src = card.picture; }, RETRY_IMAGE_MS);
  }

  show() {
    this.list.classList.toggle("picking", this.selected.size > 0);
    this.cards.forEach((card, at) => card.setAttribute("aria-selected", String(this.selected.has(this.keys[at]))));
  }

  open(at) {
    this.focus(at);
    this.events.send("opened", this.keys[at]);
  }

  toggle(at) {
    const key = this.keys[at];
    if (!this.selected.delete(key)) this.selected.add(key);
    this.changes += 1;
    this.show();
    this.setState("picked", { keys: this.keys.filter((shownKey) => this.selected.has(shownKey)), shown: this.keys.length, changes: this.changes, token: this.token });
  }

  focus(at) {
    this.cards.forEach((card, position) => { card.tabIndex = position === at ? 0 : -1; });
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
    const isUnfocused = document.activeElement === document.body;
    const isDown = event.key === "ArrowDown" && event.target.closest?.(".st-key-q");
    if (isDown || (isUnfocused && event.key.startsWith("Arrow"))) {
      event.preventDefault();
      this.focus(isDown ? 0 : Math.min(this.at, this.cards.length - 1));
    }
  }

  leave() {
    this.events.stop();
    document.removeEventListener("keydown", this.onDocumentKey);
  }
}

function formatScore(card, prefix = "") {
  return card.score === null ? null : `${prefix}${card.score.toFixed(2)}`;
}

function focusBox() {
  const box = document.querySelector(".st-key-q input");
  box?.focus();
  box?.select();
}

export default mount((root) => new Grid(root));
