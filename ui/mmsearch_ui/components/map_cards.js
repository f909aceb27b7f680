/* Assets without a ranking, as cards: those selected on a map, or a group of near-duplicates. */

class Cards {
  constructor(root) {
    this.list = element("div", { class: "cards", role: "list" });
    root.append(this.list);
    this.token = null;
    this.events = new EventSender();
  }

  update(component) {
    const { data } = component;
    this.events.update(component);
    if (data.token === this.token) return;
    this.token = data.token;
    this.list.replaceChildren(...data.cards.map((card) => this.card(card)));
  }

  card(card) {
    const frame = element("div", { class: `frame ${card.kind === "audio" ? "wave" : ""}` });
    if (card.picture) {
      const picture = element("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false" });
      picture.addEventListener("error", () => picture.replaceWith(placeholder(card)), { once: true });
      picture.src = card.picture;
      frame.append(picture);
    } else frame.append(placeholder(card));
    const badge = element("span", { class: "badge" }, icon(card.kind));
    if (card.badge) badge.append(card.badge);
    frame.append(badge);
    const button = element(
      "button",
      { class: "card", type: "button", title: [card.name, card.line, card.hint].filter(Boolean).join("\n") },
      frame,
      element("div", { class: "name" }, card.name),
      element("div", { class: "line" }, card.line),
    );
    button.dataset.id = card.id;
    button.addEventListener("click", () => this.events.send("opened", card.id));
    return element("div", { role: "listitem" }, button);
  }

  leave() {
    this.events.stop();
  }
}

export default mount((root) => new Cards(root));
