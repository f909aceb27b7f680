/* Assets without a ranking, as cards: what was selected on a map, or a group of near-duplicates. */

const lists = new WeakMap();

class Cards {
  constructor(root) {
    this.list = element("div", { class: "cards", role: "list" });
    root.append(this.list);
    this.token = null;
    this.voice = new Voice();
  }

  update(component) {
    const { data } = component;
    this.voice.listen(component);
    if (data.token === this.token) return;
    this.token = data.token;
    this.list.replaceChildren(...data.cards.map((card) => this.card(card)));
  }

  card(card) {
    const frame = element("div", { class: `frame ${card.kind === "audio" ? "wave" : ""}` });
    if (card.picture) {
      const picture = element("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false" });
      picture.addEventListener("error", () => picture.replaceWith(lone(card)), { once: true });
      picture.src = card.picture;
      frame.append(picture);
    } else frame.append(lone(card));
    const badge = element("span", { class: "badge" }, icon(card.kind));
    if (card.badge) badge.append(card.badge);
    frame.append(badge);
    const made = element(
      "button",
      { class: "card", type: "button", title: [card.name, card.line, card.hint].filter(Boolean).join("\n") },
      frame,
      element("div", { class: "name" }, card.name),
      element("div", { class: "line" }, card.line),
    );
    made.dataset.id = card.id;
    made.addEventListener("click", () => this.voice.say("opened", card.id));
    return element("div", { role: "listitem" }, made);
  }
}

function lone(card) {
  return element("div", { class: "lone" }, icon(card.kind));
}

export default function (component) {
  const { parentElement } = component;
  if (!lists.has(parentElement)) lists.set(parentElement, new Cards(parentElement));
  const cards = lists.get(parentElement);
  cards.update(component);
  return () => whenGone(parentElement, () => cards.voice.stop());
}
