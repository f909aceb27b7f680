/* Points on a canvas to be moved, zoomed, looked at and selected: on the map of a space, and on that of the world. */

const KIND_COLOURS = {
  image: "#3b82b5",
  video: "#9a5fb0",
  audio: "#d2802f",
  text: "#4a9a6a",
  other: "#8b9196",
};
const REACH_PX = 14; // how far from a point the pointer may be to mean it
const PICTURES_AT_MOST = 90; // drawn at once, none over another; the other points are dots
const PICTURE_PX = 54;
const GAP_PX = 6;
const MAX_STRETCH = 1.8; // directions of a plane have no unit: across it may be wider than down
const LOADS = 4; // pictures asked for side by side
const KEPT = 300;

const maps = new WeakMap();

class PointMap {
  constructor(root) {
    const button = (attributes, words) => element("button", { type: "button", ...attributes }, words);
    this.count = element("span", { class: "count", "aria-live": "polite" });
    this.canvas = element("canvas", { tabindex: "0", role: "img" });
    this.tipImage = element("img", { alt: "" });
    this.tipTitle = element("div", { class: "title" });
    this.tipNote = element("div", { class: "note" });
    this.tip = element("div", { class: "tip", hidden: true }, this.tipImage, this.tipTitle, this.tipNote);
    this.legend = element("div", { class: "legend" });
    this.root = element(
      "div",
      { class: "map" },
      element(
        "div",
        { class: "bar", role: "toolbar", "aria-label": "Map" },
        button({ "data-mode": "select", title: "Draw around points; with Shift held, move" }, "Select"),
        button({ "data-mode": "pan", title: "Drag to move; with Shift held, select" }, "Move"),
        element("span", { class: "gap" }),
        button({ "data-do": "in", title: "Zoom in (+)", "aria-label": "Zoom in" }, "+"),
        button({ "data-do": "out", title: "Zoom out (-)", "aria-label": "Zoom out" }, "−"),
        button({ "data-do": "reset", title: "Show all (0)" }, "Show all"),
        this.count,
      ),
      element("div", { class: "stage" }, this.canvas, this.tip),
      this.legend,
    );
    root.append(this.root);
    this.tipImage.addEventListener("error", () => { this.tipImage.hidden = true; });
    this.measured = [0, 0];
    this.view = null;
    this.stretch = 1;
    this.token = null;
    this.points = [];
    this.chosen = new Set();
    this.hidden = new Set();
    this.mode = "select";
    this.hovered = null;
    this.path = null;
    this.drag = null;
    this.fingers = new Map();
    this.pictures = new Map();
    this.waiting = [];
    this.loading = 0;
    this.frame = 0;
  }

  show(data) {
    const isNew = data.token !== this.token;
    this.data = data;
    if (isNew) {
      this.token = data.token;
      const { ids, x, y, kinds, titles } = data.points;
      this.points = ids.map((id, at) => ({
        id,
        x: x[at],
        // On a canvas y grows downwards.
        y: -y[at],
        kind: data.kinds[kinds[at]],
        title: titles[at],
      }));
      this.hidden.clear();
      this.view = null;
      this.drawLegend();
    }
    this.chosen = new Set(data.selected);
    this.root.classList.toggle("world", Boolean(data.world));
    this.canvas.style.height = `min(${data.height}px, 110vw)`;
    this.canvas.setAttribute("aria-label", data.label);
    const select = this.root.querySelector("[data-mode=select]");
    select.textContent = data.world ? "Select a box" : "Select";
    this.redraw();
  }

  listen() {
    this.leave();
    this.off = new AbortController();
    const on = (target, name, act, options = {}) =>
      target.addEventListener(name, act, { signal: this.off.signal, ...options });
    const canvas = this.canvas;
    on(canvas, "pointerdown", (event) => this.press(event));
    on(canvas, "pointermove", (event) => this.move(event));
    on(canvas, "pointerup", (event) => this.release(event));
    on(canvas, "pointercancel", (event) => this.release(event));
    on(canvas, "pointerleave", () => this.hover(null));
    on(canvas, "wheel", (event) => this.wheel(event), { passive: false });
    on(canvas, "dblclick", () => this.reset());
    on(canvas, "keydown", (event) => this.key(event));
    for (const button of this.root.querySelectorAll("button[data-do]")) {
      on(button, "click", () => this.act(button.dataset.do));
    }
    for (const button of this.root.querySelectorAll("button[data-mode]")) {
      on(button, "click", () => this.setMode(button.dataset.mode));
    }
    this.watch = new ResizeObserver(() => this.redraw());
    this.watch.observe(canvas);
    // Light and dark are told by colours that are inherited: nothing else says that they changed.
    this.theme = setInterval(() => {
      const now = this.style("--paper") + this.style("--ink");
      if (now !== this.colours) {
        this.colours = now;
        this.redraw();
      }
    }, 500);
    this.setMode(this.mode);
  }

  leave() {
    this.off?.abort();
    this.watch?.disconnect();
    clearInterval(this.theme);
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  style(name) {
    return getComputedStyle(this.root).getPropertyValue(name).trim();
  }

  // ---- places

  /** Width and height of the canvas; asked of the page once a drawing, not once a point. */
  size() {
    return this.measured;
  }

  measure() {
    this.measured = [this.canvas.clientWidth, this.canvas.clientHeight];
  }

  fit() {
    const [width, height] = this.size();
    const shown = this.points.length ? this.points : [{ x: 0, y: 0 }];
    let [west, east, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const { x, y } of shown) {
      west = Math.min(west, x);
      east = Math.max(east, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
    const least = this.data.world ? 8 : 0.05;
    const room = this.data.world ? 1.5 : 1.12;
    const down = Math.max(least, (bottom - top) * room);
    const across = Math.max(least, (east - west) * room);
    this.stretch = this.data.world ? 1 : Math.min(MAX_STRETCH, Math.max(1 / MAX_STRETCH, (width * down) / (height * across)));
    let scale = Math.min(width / (across * this.stretch), height / down);
    if (this.data.world) scale = Math.max(scale, this.least());
    this.view = { x: (west + east) / 2, y: (top + bottom) / 2, scale };
    this.start = { ...this.view };
    this.hold();
  }

  least() {
    const [width, height] = this.size();
    if (this.data.world) return Math.max(width / 360, height / 180);
    return this.start ? this.start.scale / 2 : 1e-6;
  }

  hold() {
    const view = this.view;
    const most = this.data.world ? 60000 : this.start.scale * 400;
    view.scale = Math.min(most, Math.max(this.least(), view.scale));
    if (!this.data.world) {
      view.x = Math.min(1.2, Math.max(-1.2, view.x));
      view.y = Math.min(1.2, Math.max(-1.2, view.y));
      return;
    }
    const [width, height] = this.size();
    const half = [width / 2 / view.scale, height / 2 / view.scale];
    view.x = Math.min(180 - half[0], Math.max(-180 + half[0], view.x));
    view.y = Math.min(90 - half[1], Math.max(-90 + half[1], view.y));
  }

  toScreen(x, y) {
    const [width, height] = this.size();
    const view = this.view;
    return [(x - view.x) * view.scale * this.stretch + width / 2, (y - view.y) * view.scale + height / 2];
  }

  toMap(px, py) {
    const [width, height] = this.size();
    const view = this.view;
    return [(px - width / 2) / view.scale / this.stretch + view.x, (py - height / 2) / view.scale + view.y];
  }

  visible() {
    const [west, top] = this.toMap(0, 0);
    const [east, bottom] = this.toMap(...this.size());
    return this.points.filter(
      (one) =>
        !this.hidden.has(one.kind) &&
        one.x >= west && one.x <= east && one.y >= top && one.y <= bottom,
    );
  }

  // ---- what a person does

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    const at = this.at(event);
    this.fingers.set(event.pointerId, at);
    this.pinch = null;
    if (this.fingers.size > 1) {
      this.drag = this.path = null;
      return;
    }
    const selects = (this.mode === "select") !== event.shiftKey;
    this.drag = { from: at, last: at, selects, moved: false };
    if (selects) this.path = [at];
  }

  move(event) {
    const at = this.at(event);
    if (this.fingers.has(event.pointerId)) this.fingers.set(event.pointerId, at);
    if (this.fingers.size === 2) return this.pinched();
    const drag = this.drag;
    if (!drag) return this.hover(at);
    if (Math.hypot(at[0] - drag.from[0], at[1] - drag.from[1]) > 4) drag.moved = true;
    if (!drag.moved) return;
    this.hover(null);
    if (drag.selects) {
      if (this.data.world) {
        const [[left, top], [right, bottom]] = [drag.from, at];
        this.path = [[left, top], [right, top], [right, bottom], [left, bottom]];
      } else {
        this.path.push(at);
      }
    } else {
      this.view.x -= (at[0] - drag.last[0]) / this.view.scale / this.stretch;
      this.view.y -= (at[1] - drag.last[1]) / this.view.scale;
      this.hold();
    }
    drag.last = at;
    this.redraw();
  }

  pinched() {
    const [one, other] = [...this.fingers.values()];
    const now = {
      apart: Math.hypot(one[0] - other[0], one[1] - other[1]),
      at: [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2],
    };
    if (this.pinch) this.zoom(now.apart / Math.max(1, this.pinch.apart), now.at);
    this.pinch = now;
  }

  release(event) {
    this.fingers.delete(event.pointerId);
    const { drag, path } = this;
    this.drag = this.path = null;
    if (!drag || event.type === "pointercancel") return this.redraw();
    if (!drag.moved) {
      const point = this.nearest(drag.from);
      this.choose(point ? [point] : []);
    } else if (drag.selects) {
      const inside = this.visible().filter((one) => within(this.toScreen(one.x, one.y), path));
      const corners = path.map((corner) => this.toMap(...corner));
      this.choose(inside, this.data.world ? box(corners) : null);
    }
    this.redraw();
  }

  wheel(event) {
    event.preventDefault();
    const step = event.deltaMode === 1 ? 24 : 1;
    this.zoom(Math.exp(-event.deltaY * step * 0.0016), this.at(event));
  }

  zoom(factor, at) {
    const before = this.toMap(...at);
    this.view.scale *= factor;
    this.hold();
    const after = this.toMap(...at);
    this.view.x += before[0] - after[0];
    this.view.y += before[1] - after[1];
    this.hold();
    this.hover(null);
    this.redraw();
  }

  key(event) {
    const [width, height] = this.size();
    const step = 60 / this.view.scale;
    const moves = {
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, -step],
      ArrowDown: [0, step],
    };
    if (event.key in moves) {
      this.view.x += moves[event.key][0];
      this.view.y += moves[event.key][1];
      this.hold();
    } else if (event.key === "+" || event.key === "=") {
      this.zoom(1.4, [width / 2, height / 2]);
    } else if (event.key === "-") {
      this.zoom(1 / 1.4, [width / 2, height / 2]);
    } else if (event.key === "0") {
      this.reset();
    } else if (event.key === "Escape") {
      this.drag = this.path = null;
      this.choose([]);
    } else {
      return;
    }
    event.preventDefault();
    this.redraw();
  }

  act(what) {
    const [width, height] = this.size();
    if (what === "reset") return this.reset();
    this.zoom(what === "in" ? 1.6 : 1 / 1.6, [width / 2, height / 2]);
  }

  reset() {
    this.view = null;
    this.redraw();
  }

  setMode(mode) {
    this.mode = mode;
    for (const button of this.root.querySelectorAll("button[data-mode]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    }
    this.canvas.style.cursor = mode === "pan" ? "grab" : "crosshair";
  }

  choose(points, edges = null) {
    this.chosen = new Set(points.map((one) => one.id));
    this.send("selected", { token: this.token, ids: [...this.chosen], box: edges });
    this.redraw();
  }

  nearest([px, py]) {
    let best = null;
    let least = REACH_PX;
    for (const one of this.visible()) {
      const [x, y] = this.toScreen(one.x, one.y);
      // What has a picture is on top of the others, and larger.
      const reach = one.covers
        ? Math.max(Math.abs(x - px), Math.abs(y - py)) * (REACH_PX / (PICTURE_PX / 2 + 1)) - REACH_PX
        : Math.hypot(x - px, y - py);
      if (reach < (one.covers ? 0 : REACH_PX) && reach < least) [best, least] = [one, reach];
    }
    return best;
  }

  hover(at) {
    const point = at && this.view ? this.nearest(at) : null;
    if (point === this.hovered) return;
    this.hovered = point;
    this.redraw();
    this.tip.hidden = !point;
    if (!point) return;
    this.tipTitle.textContent = point.title;
    this.tipNote.textContent = this.data.world
      ? `${point.kind} · ${degrees(-point.y, "N", "S")} ${degrees(point.x, "E", "W")}`
      : point.kind;
    const url = this.picture(point, 320);
    this.tipImage.hidden = !url;
    if (url && this.tipImage.getAttribute("src") !== url) this.tipImage.src = url;
    const [x, y] = this.toScreen(point.x, point.y);
    const [width, height] = this.size();
    this.tip.style.left = x < width / 2 ? `${x + 16}px` : "";
    this.tip.style.right = x < width / 2 ? "" : `${width - x + 16}px`;
    this.tip.style.top = y < height / 2 ? `${y + 8}px` : "";
    this.tip.style.bottom = y < height / 2 ? "" : `${height - y + 8}px`;
  }

  picture(point, px) {
    const base = `${this.data.prefix}/assets/${encodeURIComponent(point.id)}/thumbnail`;
    if (point.kind === "image" || point.kind === "video") return `${base}?px=${px}`;
    if (point.kind === "audio") return `${base}?kind=waveform`;
    return "";
  }

  // ---- drawing

  redraw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  draw() {
    const canvas = this.canvas;
    this.measure();
    const [width, height] = this.size();
    if (!width || !height || !this.data) return;
    if (!this.view) this.fit();
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      this.hold();
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const text = this.style("--ink") || "#333";
    if (this.data.world) this.drawWorld(pen, width, height, text);
    const shown = this.visible();
    const dims = this.chosen.size > 0;
    const radius = Math.max(2.2, Math.min(5, 90 / Math.sqrt(shown.length + 1)));
    for (const one of this.points) one.covers = 0;
    const pictures = this.placed(shown);
    this.drawDots(pen, shown.filter((one) => !one.covers && !this.chosen.has(one.id)), radius, dims ? 0.28 : 0.85);
    this.drawDots(pen, shown.filter((one) => !one.covers && this.chosen.has(one.id)), radius + 1, 0.95);
    for (const one of pictures) {
      pen.globalAlpha = dims && !this.chosen.has(one.id) ? 0.45 : 1;
      this.drawPicture(pen, one);
    }
    pen.globalAlpha = 1;
    if (this.hovered && !this.hidden.has(this.hovered.kind)) {
      const [x, y] = this.toScreen(this.hovered.x, this.hovered.y);
      pen.strokeStyle = text;
      pen.lineWidth = 2;
      pen.beginPath();
      if (this.hovered.covers) pen.rect(x - PICTURE_PX / 2, y - PICTURE_PX / 2, PICTURE_PX, PICTURE_PX);
      else pen.arc(x, y, radius + 3, 0, 2 * Math.PI);
      pen.stroke();
    }
    if (this.path && this.drag?.moved) this.drawPath(pen);
    this.root.dataset.drawn = String(shown.length);
    this.root.dataset.pictures = String(pictures.length);
    this.count.textContent =
      this.chosen.size > 0
        ? `${this.chosen.size.toLocaleString("en")} selected`
        : `${shown.length.toLocaleString("en")} in view`;
  }

  /** Points as dots: one path for a kind, which is ten times as fast as one for a point. */
  drawDots(pen, points, radius, alpha) {
    pen.globalAlpha = alpha;
    for (const kind of new Set(points.map((one) => one.kind))) {
      pen.fillStyle = KIND_COLOURS[kind] ?? KIND_COLOURS.other;
      pen.beginPath();
      for (const one of points) {
        if (one.kind !== kind) continue;
        const [x, y] = this.toScreen(one.x, one.y);
        pen.moveTo(x + radius, y);
        pen.arc(x, y, radius, 0, 2 * Math.PI);
      }
      pen.fill();
    }
  }

  /** The points whose pictures are drawn: none over another, those that are chosen first. */
  placed(shown) {
    const cell = PICTURE_PX + GAP_PX;
    const taken = new Map();
    const found = [];
    let wanted = 0;
    const order = this.chosen.size
      ? [...shown].sort((one, other) => this.chosen.has(other.id) - this.chosen.has(one.id))
      : shown;
    for (const one of order) {
      const [x, y] = this.toScreen(one.x, one.y);
      const [column, row] = [Math.floor(x / cell), Math.floor(y / cell)];
      let over = null;
      for (let at = 0; at < 9 && !over; at++) {
        const other = taken.get(`${column + (at % 3) - 1} ${row + Math.floor(at / 3) - 1}`);
        if (other && Math.abs(other.px - x) < cell && Math.abs(other.py - y) < cell) over = other;
      }
      const isPicture = one.kind === "image" || one.kind === "video";
      if (over) {
        const half = PICTURE_PX / 2;
        if (over.covers && Math.abs(over.px - x) < half && Math.abs(over.py - y) < half) over.covers++;
      } else if (isPicture && wanted < PICTURES_AT_MOST) {
        // Its place is taken before its picture is here, so that nothing jumps when it comes.
        wanted++;
        [one.px, one.py] = [x, y];
        taken.set(`${column} ${row}`, one);
        if (this.loaded(one)) {
          one.covers = 1;
          found.push(one);
        }
      }
    }
    return found;
  }

  drawPicture(pen, one) {
    const image = this.pictures.get(one.id).image;
    const half = PICTURE_PX / 2;
    const side = Math.min(image.naturalWidth, image.naturalHeight);
    const [left, top] = [one.px - half, one.py - half];
    pen.save();
    pen.beginPath();
    pen.roundRect(left, top, PICTURE_PX, PICTURE_PX, 6);
    pen.clip();
    pen.drawImage(
      image,
      (image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2, side, side,
      left, top, PICTURE_PX, PICTURE_PX,
    );
    pen.restore();
    pen.strokeStyle = this.style(this.chosen.has(one.id) ? "--accent" : "--paper");
    pen.lineWidth = this.chosen.has(one.id) ? 3 : 1;
    pen.beginPath();
    pen.roundRect(left, top, PICTURE_PX, PICTURE_PX, 6);
    pen.stroke();
    if (one.covers > 1) this.drawCount(pen, one.covers, one.px + half, one.py - half);
  }

  drawCount(pen, count, x, y) {
    const said = count > 999 ? "999+" : String(count);
    pen.font = `600 10px ${this.style("--st-font") || "sans-serif"}`;
    const width = Math.max(16, pen.measureText(said).width + 8);
    pen.fillStyle = "rgb(18 22 24 / 0.8)";
    pen.beginPath();
    pen.roundRect(x - width + 4, y - 5, width, 15, 8);
    pen.fill();
    pen.fillStyle = "#fff";
    pen.textAlign = "center";
    pen.fillText(said, x - width / 2 + 4, y + 6);
    pen.textAlign = "start";
  }

  drawPath(pen) {
    const colour = this.style("--accent") || "#2f6f8f";
    pen.beginPath();
    this.path.forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.fillStyle = colour;
    pen.globalAlpha = 0.14;
    pen.fill();
    pen.globalAlpha = 1;
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.stroke();
  }

  drawWorld(pen, width, height, text) {
    pen.fillStyle = this.style("--field") || "#f2f3f1";
    pen.strokeStyle = this.style("--line") || "#ccc";
    const trace = (ring) => {
      pen.beginPath();
      ring.forEach(([lon, lat], at) => {
        const [x, y] = this.toScreen(lon, -lat);
        if (at) pen.lineTo(x, y);
        else pen.moveTo(x, y);
      });
      pen.closePath();
    };
    pen.lineWidth = 1;
    for (const ring of this.data.world.land) {
      trace(ring);
      pen.fill();
      pen.stroke();
    }
    const water = this.style("--paper") || "#fff";
    for (const ring of this.data.world.water) {
      trace(ring);
      pen.fillStyle = water;
      pen.fill();
      pen.stroke();
    }
    this.drawGrid(pen, width, height, text);
  }

  drawGrid(pen, width, height, text) {
    const [west, top] = this.toMap(0, 0);
    const [east, bottom] = this.toMap(width, height);
    const wanted = 110 / this.view.scale;
    const step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60]
      .find((one) => one >= wanted) ?? 60;
    const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
    pen.font = `11px ${this.style("--st-font") || "sans-serif"}`;
    pen.fillStyle = pen.strokeStyle = text;
    pen.lineWidth = 0.5;
    pen.globalAlpha = 0.18;
    pen.beginPath();
    const lines = [];
    for (let at = Math.ceil(west / step); at * step <= east; at++) {
      const [x] = this.toScreen(at * step, 0);
      pen.moveTo(x, 0);
      pen.lineTo(x, height);
      lines.push([degrees(at * step, "E", "W", digits), x + 3, height - 5]);
    }
    for (let at = Math.ceil(top / step); at * step <= bottom; at++) {
      const [, y] = this.toScreen(0, at * step);
      pen.moveTo(0, y);
      pen.lineTo(width, y);
      lines.push([degrees(-at * step, "N", "S", digits), 4, y - 3]);
    }
    pen.stroke();
    pen.globalAlpha = 0.55;
    for (const [said, x, y] of lines) pen.fillText(said, x, y);
    pen.globalAlpha = 1;
  }

  drawLegend() {
    const counts = new Map();
    for (const one of this.points) counts.set(one.kind, (counts.get(one.kind) ?? 0) + 1);
    this.legend.replaceChildren();
    for (const kind of this.data.kinds) {
      if (!counts.has(kind)) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.title = "Show or hide them";
      const dot = document.createElement("i");
      dot.style.background = KIND_COLOURS[kind] ?? KIND_COLOURS.other;
      button.append(dot, `${this.data.names[kind]} ${counts.get(kind).toLocaleString("en")}`);
      button.onclick = () => {
        if (!this.hidden.delete(kind)) this.hidden.add(kind);
        button.setAttribute("aria-pressed", String(!this.hidden.has(kind)));
        this.redraw();
      };
      this.legend.append(button);
    }
  }

  // ---- pictures, loaded a few at a time

  loaded(point) {
    if (point.kind !== "image" && point.kind !== "video") return null;
    const known = this.pictures.get(point.id);
    if (known) return known.isReady ? known.image : null;
    if (!this.waiting.includes(point)) this.waiting.push(point);
    this.load();
    return null;
  }

  load() {
    while (this.loading < LOADS && this.waiting.length) {
      const point = this.waiting.pop();
      if (this.pictures.has(point.id)) continue;
      const entry = { image: new Image(), isReady: false };
      this.pictures.set(point.id, entry);
      if (this.pictures.size > KEPT) this.pictures.delete(this.pictures.keys().next().value);
      this.loading++;
      const done = (isReady) => {
        this.loading--;
        entry.isReady = isReady;
        this.load();
        this.redraw();
      };
      entry.image.onload = () => done(true);
      entry.image.onerror = () => done(false);
      entry.image.src = this.picture(point, 96);
    }
    if (this.waiting.length > KEPT) this.waiting.splice(0, this.waiting.length - KEPT);
  }
}

function within([x, y], path) {
  let inside = false;
  for (let at = 0, before = path.length - 1; at < path.length; before = at++) {
    const [ax, ay] = path[at];
    const [bx, by] = path[before];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

/** South, west, north, east, as `--box` takes them. */
function box(corners) {
  const xs = corners.map(([x]) => x);
  const ys = corners.map(([, y]) => -y);
  const clip = (value, most) => Math.min(most, Math.max(-most, Number(value.toFixed(4))));
  return [
    clip(Math.min(...ys), 90),
    clip(Math.min(...xs), 180),
    clip(Math.max(...ys), 90),
    clip(Math.max(...xs), 180),
  ];
}

function degrees(value, positive, negative, digits = 2) {
  const rounded = Math.abs(value).toFixed(digits);
  if (Number(rounded) === 0) return "0°";
  return `${rounded}°${value > 0 ? positive : negative}`;
}

export default function (component) {
  const { parentElement, data, setStateValue } = component;
  if (!maps.has(parentElement)) maps.set(parentElement, new PointMap(parentElement));
  const map = maps.get(parentElement);
  map.send = setStateValue;
  map.show(data);
  map.listen();
  return () => map.leave();
}
