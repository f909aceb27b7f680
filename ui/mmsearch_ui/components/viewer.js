/* One hit in large: played from its moment, beside its transcript, whose lines can be clicked. */

const FOLLOW_PAUSE_MS = 4000;
const GONE = "It cannot be shown any more: its file is gone, or has changed since it was indexed.";

class Viewer {
  constructor(root) {
    this.root = root;
    this.stage = element("div", { class: "stage" });
    this.side = element("div", { class: "side" });
    this.actions = element("div", { class: "actions", role: "toolbar", "aria-label": "Actions" });
    this.name = element("h2", { class: "name" });
    this.steps = element("span", { class: "steps" });
    this.main = element("div", { class: "main" }, this.stage, this.actions);
    root.append(
      element("header", { class: "head" }, this.name, this.steps),
      element("div", { class: "viewer" }, this.main, this.side),
    );
    this.onDocumentKey = (event) => this.onKey(event);
    this.key = null;
    this.touched = 0;
    this.events = new EventSender();
  }

  update(component) {
    const { data } = component;
    this.events.update(component);
    const isNew = data.view.key !== this.key;
    this.view = data.view;
    if (isNew) {
      this.key = data.view.key;
      this.stop();
      this.name.textContent = this.view.name;
      this.drawStage();
      this.drawSide();
    }
    this.drawActions(data);
    this.drawMap(data.map);
    if (data.note) this.showNote(data.note);
    document.addEventListener("keydown", this.onDocumentKey);
  }

  /* The picture, the player or the text. */

  drawStage() {
    const { stage, media, picture, start_s: start, name } = this.view;
    this.player = null;
    this.still = null;
    this.note = element("p", { class: "note", hidden: true });
    this.stage.className = `stage ${stage}`;
    if (stage === "picture") {
      this.still = this.figure(picture, name);
      this.stage.replaceChildren(this.still, this.note);
      return;
    }
    if (stage === "text") {
      this.stage.replaceChildren(this.passages(), this.note);
      this.main.classList.add("reading");
      return;
    }
    const kind = stage === "video" ? "video" : "audio";
    const player = element(kind, { controls: true, preload: "metadata", playsinline: true });
    this.player = player;
    // The fragment begins near the moment while the file loads; the event below seeks exactly.
    this.player.src = start > 0 ? `${media}#t=${start}` : media;
    const whileShown = (handle) => () => { if (this.player === player) handle(); };
    player.addEventListener("loadedmetadata", whileShown(() => this.begin()), { once: true });
    player.addEventListener("timeupdate", whileShown(() => this.follow()));
    player.addEventListener("error", whileShown(() => this.cannotPlay()));
    if (stage === "audio") {
      this.wave = element("div", { class: "waveform" }, element("img", { alt: "", src: picture, draggable: "false" }));
      this.wave.addEventListener("click", (event) => this.seekOnWave(event));
      this.needle = element("div", { class: "needle" });
      this.wave.append(this.needle);
      this.stage.replaceChildren(this.wave, this.player, this.note);
    } else {
      this.stage.replaceChildren(this.player, this.note);
    }
  }

  figure(source, name) {
    const picture = element("img", { alt: name, src: source, draggable: "false" });
    picture.addEventListener("error", () => this.showNote(GONE));
    const canvas = element("div", { class: "canvas" }, picture);
    if (this.view.ratio) canvas.style.aspectRatio = String(this.view.ratio);
    // A picture may lie on its side in the file, and its sizes with it.
    picture.addEventListener("load", () => {
      canvas.style.aspectRatio = String(picture.naturalWidth / picture.naturalHeight);
    });
    return element("div", { class: "figure" }, canvas);
  }

  begin() {
    if (Math.abs(this.player.currentTime - this.view.start_s) > 0.01) this.player.currentTime = this.view.start_s;
    this.player.play().catch(() => {}); // a browser may want a click first
  }

  seek(seconds) {
    if (!this.player) return;
    this.hideStill();
    this.touched = 0;
    this.player.currentTime = seconds;
    this.player.play().catch(() => {});
  }

  seekOnWave(event) {
    const { left, width } = this.wave.getBoundingClientRect();
    const [from, to] = this.waveSpan();
    this.seek(from + ((event.clientX - left) / width) * (to - from));
  }

  waveSpan() {
    return this.view.wave_span ?? [0, this.player.duration || 1];
  }

  async cannotPlay() {
    this.player.hidden = true;
    this.showNote("This browser cannot play it: download it, or play it from its folder.");
    if (this.view.stage === "video") {
      this.still = this.figure(this.view.picture, this.view.name);
      this.stage.prepend(this.still);
    }
    const { media, key } = this.view;
    const response = await fetch(media, { method: "HEAD" }).catch(() => null);
    if (response?.status === 410 && this.view.key === key) this.showNote(GONE);
  }

  showNote(text) {
    this.note.textContent = text;
    this.note.hidden = false;
  }

  /* Lines, reasons and details. */

  drawSide() {
    const { stage, lines } = this.view;
    const parts = [];
    if (stage !== "text" && lines.length) parts.push(["lines", stage === "picture" ? "Written there" : "Transcript", this.passages()]);
    parts.push(["why", "Why", this.why()], ["details", "Details", this.details()]);
    const tabs = element("div", { class: "tabs", role: "tablist" });
    const open = (name) => {
      for (const tab of tabs.children) tab.setAttribute("aria-selected", String(tab.dataset.name === name));
      for (const [key, , panel] of parts) panel.hidden = key !== name;
      if (name === "lines") this.showMatch();
    };
    for (const [key, label, panel] of parts) {
      panel.setAttribute("role", "tabpanel");
      const tab = element("button", { type: "button", role: "tab", onclick: () => open(key) }, label);
      tab.dataset.name = key;
      tabs.append(tab);
    }
    this.side.replaceChildren(tabs, ...parts.map(([, , panel]) => panel));
    this.main.classList.toggle("reading", stage === "text");
    open(parts[0][0]);
    if (stage === "text") this.showMatch();
  }

  passages() {
    const { lines, left_out: [before, after], at } = this.view;
    this.lines = element("div", { class: "lines" });
    this.lines.addEventListener("wheel", () => { this.touched = Date.now(); }, { passive: true });
    this.lines.addEventListener("touchmove", () => { this.touched = Date.now(); }, { passive: true });
    if (before) this.lines.append(element("p", { class: "rest" }, `${before} earlier left out`));
    this.rows = lines.map((line, number) => this.line(line, number === at && line.is_match));
    this.lines.append(...this.rows);
    if (after) this.lines.append(element("p", { class: "rest" }, `${after} later left out`));
    return this.lines;
  }

  line(line, isFirst) {
    const isTimed = line.start_s !== null && this.view.stage !== "picture";
    const row = element(
      isTimed ? "button" : "div",
      { class: `line ${line.kind}${line.is_match ? " match" : ""}${isFirst ? " first" : ""}` },
      line.label ? element("span", { class: "at" }, line.label) : null,
      element("span", { class: "text" }, ...markRuns(line.runs)),
    );
    if (isTimed) {
      row.type = "button";
      row.dataset.start = line.start_s;
      row.addEventListener("click", () => this.seek(line.start_s));
    }
    return row;
  }

  showMatch() {
    const row = this.rows?.[this.view.at];
    if (row) requestAnimationFrame(() => this.scrollTo(row));
  }

  scrollTo(row) {
    const box = this.lines.getBoundingClientRect();
    const place = row.getBoundingClientRect();
    this.lines.scrollTop += place.top - box.top - box.height / 3;
  }

  follow() {
    const now = this.player.currentTime;
    if (this.needle) {
      const [from, to] = this.waveSpan();
      this.needle.style.left = `${Math.min(1, Math.max(0, (now - from) / (to - from))) * 100}%`;
    }
    let current = null;
    this.view.lines.forEach((line, number) => {
      if (line.start_s !== null && line.start_s <= now + 0.05 && now < line.end_s && line.kind === "speech") current = this.rows[number];
    });
    if (current === this.current) return;
    this.current?.removeAttribute("aria-current");
    this.current = current;
    current?.setAttribute("aria-current", "true");
    // A user who has just scrolled is reading.
    if (current && Date.now() - this.touched > FOLLOW_PAUSE_MS) this.scrollTo(current);
  }

  why() {
    const { why, reasons, tags, jumps } = this.view;
    const panel = element("div", { class: "panel" });
    if (why.length) panel.append(element("p", { class: "because" }, ...markRuns(why)));
    const table = element("div", { class: "bars" });
    for (const { name, score, rank } of reasons) table.append(...this.bar(name, score, `rank ${rank}`));
    panel.append(table);
    if (tags.length) {
      panel.append(element("h4", {}, "Seen or heard there"));
      const bars = element("div", { class: "bars" });
      for (const [name, probability] of tags) bars.append(...this.bar(name, probability, ""));
      panel.append(bars);
    }
    if (jumps.length > 1) {
      panel.append(element("h4", {}, "Moments"));
      const row = element("div", { class: "jumps" });
      for (const jump of jumps) {
        const button = element("button", { type: "button", title: `${jump.kind}, score ${jump.score.toFixed(2)}` }, jump.label);
        button.addEventListener("click", () => this.seek(jump.start_s));
        row.append(button);
      }
      panel.append(row);
    }
    return panel;
  }

  bar(name, value, after) {
    const fill = element("span", { class: "fill", style: `width:${Math.round(value * 100)}%` });
    return [
      element("span", { class: "term" }, name),
      element("span", { class: "track", title: after }, fill),
      element("span", { class: "value" }, value.toFixed(2)),
    ];
  }

  details() {
    const list = element("dl", { class: "panel details" });
    for (const [label, value] of this.view.details) list.append(element("dt", {}, label), element("dd", {}, value));
    return list;
  }

  /* Actions. */

  /** Sends an action with the key of this hit: another may be open when the event arrives. */
  act(name, value = null) {
    this.events.send(name, { key: this.view.key, value });
  }

  drawActions({ is_picked: isPicked, can_reveal: canReveal, position, total }) {
    const { download, path, can_locate: canLocate } = this.view;
    const act = (name, value) => () => this.act(name, value);
    const button = (label, onclick, attributes = {}) => element("button", { type: "button", onclick, ...attributes }, label);
    const copy = button("Copy path", async () => {
      try {
        await navigator.clipboard.writeText(path);
        copy.textContent = "Copied";
      } catch {
        copy.textContent = "Not allowed";
      }
      setTimeout(() => { copy.textContent = "Copy path"; }, 1500);
    });
    const field = element("input", { type: "text", placeholder: "but not …", "aria-label": "Like this, but not", maxlength: "200" });
    const without = element("form", { class: "without" }, field);
    without.addEventListener("submit", (event) => {
      event.preventDefault();
      if (field.value.trim()) act("like_without", field.value.trim())();
    });
    const typed = this.actions.querySelector("input")?.value;
    if (typed && this.drawnFor === this.key) field.value = typed;
    this.drawnFor = this.key;
    this.steps.replaceChildren(
      button("‹", act("step", -1), { "aria-label": "Previous match", disabled: position <= 1 }),
      element("span", {}, `${position} of ${total}`),
      button("›", act("step", 1), { "aria-label": "Next match", disabled: position >= total }),
    );
    this.actions.replaceChildren(
      button(isPicked ? "Selected" : "Select", act("pick"), { "aria-pressed": String(isPicked), class: isPicked ? "on" : null }),
      button("More like this", act("like")),
      without,
      canLocate ? button("Where?", act("locate"), { title: "Where in the picture it matched" }) : "",
      copy,
      element("a", { href: download, download: "", role: "button" }, "Download"),
      canReveal ? button("Open folder", act("reveal")) : "",
    );
  }

  /* A map over the picture: of a video, over the still of its moment. */

  drawMap(map) {
    this.stage.querySelector(".over")?.remove();
    if (!map) { this.hideStill(); return; }
    if (map.error) { this.showNote(map.error); return; }
    this.note.hidden = true;
    if (this.view.stage === "video") {
      this.player.pause();
      this.still = this.still ?? this.figure(this.view.picture, this.view.name);
      this.still.classList.add("laid");
      this.stage.append(this.still);
    }
    if (!this.still) return;
    const layer = element("img", { class: "layer", alt: "Where it matched", src: map.layer });
    this.still.querySelector(".layer")?.remove();
    this.still.querySelector(".canvas").append(layer);
    const tools = element("div", { class: "over" });
    if (map.is_quick) tools.append(element("button", { type: "button", onclick: () => this.act("locate_well") }, "Look closer"));
    tools.append(element("button", { type: "button", onclick: () => this.act("unlocate") }, "Hide"));
    this.stage.append(tools);
  }

  hideStill() {
    this.still?.querySelector(".layer")?.remove();
    this.stage.querySelector(".over")?.remove();
    if (this.still?.classList.contains("laid")) { this.still.remove(); this.still = null; }
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping()) return;
    const active = this.root.activeElement;
    const inPlayer = active && active === this.player;
    if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && !inPlayer) {
      event.preventDefault();
      this.act("step", event.key === "ArrowLeft" ? -1 : 1);
    } else if (event.key === "s") {
      this.act("pick");
    } else if (event.key === " " && this.player && !inPlayer && active?.tagName !== "BUTTON") {
      event.preventDefault();
      if (this.player.paused) this.player.play().catch(() => {});
      else this.player.pause();
    }
  }

  stop() {
    const player = this.player;
    this.player = this.needle = null;
    if (!player) return;
    player.pause();
    player.removeAttribute("src");
    player.load();
  }

  leave() {
    this.stop();
    this.events.stop();
    document.removeEventListener("keydown", this.onDocumentKey);
  }
}

export default mount((root) => new Viewer(root));
