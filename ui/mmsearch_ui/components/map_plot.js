/* Points on a canvas that pans, zooms and selects: the map of a space, and that of the world. */

const KIND_COLOURS = { image: "#3b82b5", video: "#9a5fb0", audio: "#d2802f", text: "#4a9a6a", other: "#8b9196" };
const REACH_PX = 14; // distance at which the pointer still hits a point
const MAX_PICTURES = 90; // drawn at once, none over another; the other points are dots
const PICTURE_PX = 54;
const GAP_PX = 6;
const MAX_STRETCH = 1.8; // the axes of a projection have no unit, so they may be scaled apart
const MAX_LOADS = 4; // requests at a time
const MAX_CACHED = 300;

class PointMap {
  constructor(root) {
    const button = (attributes, words) => element("button", { type: "button", ...attributes }, words);
    this.count = element("span", { class: "count", "aria-live": "polite" });
    this.canvas = element("canvas", {
      tabindex: "0",
      role: "img",
      onpointerdown: (event) => this.press(event),
      onpointermove: (event) => this.move(event),
      onpointerup: (event) => this.release(event),
      onpointercancel: (event) => this.release(event),
      onpointerleave: () => this.hover(null),
      ondblclick: () => this.reset(),
      onkeydown: (event) => this.key(event),
    });
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
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
        button({ "data-mode": "select", onclick: () => this.setMode("select"), title: "Draw around points; with Shift held, move" }, "Select"),
        button({ "data-mode": "pan", onclick: () => this.setMode("pan"), title: "Drag to move; with Shift held, select" }, "Move"),
        element("span", { class: "gap" }),
        button({ onclick: () => this.zoomCentre(1.6), title: "Zoom in (+)", "aria-label": "Zoom in" }, "+"),
        button({ onclick: () => this.zoomCentre(1 / 1.6), title: "Zoom out (-)", "aria-label": "Zoom out" }, "−"),
        button({ onclick: () => this.reset(), title: "Show all (0)" }, "Show all"),
        this.count,
      ),
      element("div", { class: "stage" }, this.canvas, this.tip),
      this.legend,
    );
    root.append(this.root);
    this.tipImage.addEventListener("error", () => { this.tipImage.hidden = true; });
    this.size = [0, 0]; // of the canvas, measured once a drawing
    this.view = null;
    this.stretch = 1;
    this.token = null;
    this.points = [];
    this.chosen = new Set();
    this.hidden = new Set();
    this.setMode("select");
    this.hovered = null;
    this.path = null;
    this.drag = null;
    this.fingers = new Map();
    this.pictures = new Map();
    this.waiting = [];
    this.loading = 0;
    this.frame = 0;
  }

  update({ data, setStateValue }) {
    this.send = setStateValue;
    const isNew = data.token !== this.token;
    this.data = data;
    if (isNew) {
      this.token = data.token;
      const { ids, x, y, kinds, titles } = data.points;
      this.points = ids.map((id, at) => ({
        id, title: titles[at], kind: data.kinds[kinds[at]], x: x[at], y: -y[at], // y grows downwards on a canvas
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
    this.listen();
    this.redraw();
  }

  listen() {
    this.leave();
    this.watch = new ResizeObserver(() => this.redraw());
    this.watch.observe(this.canvas);
    // A change of theme is seen in the inherited colours alone.
    this.theme = setInterval(() => {
      const now = this.style("--paper") + this.style("--ink");
      if (now !== this.colours) {
        this.colours = now;
        this.redraw();
      }
    }, 500);
  }

  leave() {
    this.watch?.disconnect();
    clearInterval(this.theme);
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  style(name) {
    return getComputedStyle(this.root).getPropertyValue(name).trim();
  }

  // ---- places

  fit() {
    const [width, height] = this.size;
    let [west, east, top, bottom] = this.points.length ? [Infinity, -Infinity, Infinity, -Infinity] : [0, 0, 0, 0];
    for (const { x, y } of this.points) {
      [west, east] = [Math.min(west, x), Math.max(east, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
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
    const [width, height] = this.size;
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
    const [width, height] = this.size;
    const half = [width / 2 / view.scale, height / 2 / view.scale];
    view.x = Math.min(180 - half[0], Math.max(-180 + half[0], view.x));
    view.y = Math.min(90 - half[1], Math.max(-90 + half[1], view.y));
  }

  toScreen(x, y) {
    const [width, height] = this.size;
    const view = this.view;
    return [(x - view.x) * view.scale * this.stretch + width / 2, (y - view.y) * view.scale + height / 2];
  }

  toMap(px, py) {
    const [width, height] = this.size;
    const view = this.view;
    return [(px - width / 2) / view.scale / this.stretch + view.x, (py - height / 2) / view.scale + view.y];
  }

  visible() {
    const [west, top] = this.toMap(0, 0);
    const [east, bottom] = this.toMap(...this.size);
    return this.points.filter(
      ({ kind, x, y }) => !this.hidden.has(kind) && x >= west && x <= east && y >= top && y <= bottom,
    );
  }

  // ---- interaction

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
    const [first, second] = [...this.fingers.values()];
    const now = {
      apart: Math.hypot(first[0] - second[0], first[1] - second[1]),
      at: [(first[0] + second[0]) / 2, (first[1] + second[1]) / 2],
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
      const inside = this.visible().filter(({ x, y }) => within(this.toScreen(x, y), path));
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
    const step = 60 / this.view.scale;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) {
      this.view.x += moves[event.key][0];
      this.view.y += moves[event.key][1];
      this.hold();
    } else if (event.key === "+" || event.key === "=") {
      this.zoomCentre(1.4);
    } else if (event.key === "-") {
      this.zoomCentre(1 / 1.4);
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

  zoomCentre(factor) {
    this.zoom(factor, this.size.map((length) => length / 2));
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
    this.chosen = new Set(points.map((point) => point.id));
    this.send("selected", { token: this.token, ids: [...this.chosen], box: edges });
    this.redraw();
  }

  nearest([px, py]) {
    let best = null;
    let least = REACH_PX;
    for (const point of this.visible()) {
      const [x, y] = this.toScreen(point.x, point.y);
      // Points with pictures are on top of the others, and larger.
      const reach = point.covers
        ? Math.max(Math.abs(x - px), Math.abs(y - py)) * (REACH_PX / (PICTURE_PX / 2 + 1)) - REACH_PX
        : Math.hypot(x - px, y - py);
      if (reach < (point.covers ? 0 : REACH_PX) && reach < least) [best, least] = [point, reach];
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
    const [width, height] = this.size;
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
    this.size = [canvas.clientWidth, canvas.clientHeight];
    const [width, height] = this.size;
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
    const visible = this.visible();
    const dims = this.chosen.size > 0;
    const radius = Math.max(2.2, Math.min(5, 90 / Math.sqrt(visible.length + 1)));
    for (const point of this.points) point.covers = 0;
    const pictures = this.placePictures(visible);
    const dots = visible.filter((point) => !point.covers);
    this.drawDots(pen, dots.filter(({ id }) => !this.chosen.has(id)), radius, dims ? 0.28 : 0.85);
    this.drawDots(pen, dots.filter(({ id }) => this.chosen.has(id)), radius + 1, 0.95);
    for (const point of pictures) {
      pen.globalAlpha = dims && !this.chosen.has(point.id) ? 0.45 : 1;
      this.drawPicture(pen, point);
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
    this.root.dataset.drawn = String(visible.length);
    this.root.dataset.pictures = String(pictures.length);
    this.count.textContent =
      this.chosen.size > 0
        ? `${this.chosen.size.toLocaleString("en")} selected`
        : `${visible.length.toLocaleString("en")} in view`;
  }

  /** Draws points as dots: one path for each kind is ten times as fast as one for each point. */
  drawDots(pen, points, radius, alpha) {
    pen.globalAlpha = alpha;
    for (const kind of new Set(points.map((point) => point.kind))) {
      pen.fillStyle = KIND_COLOURS[kind] ?? KIND_COLOURS.other;
      pen.beginPath();
      for (const point of points) {
        if (point.kind !== kind) continue;
        const [x, y] = this.toScreen(point.x, point.y);
        pen.moveTo(x + radius, y);
        pen.arc(x, y, radius, 0, 2 * Math.PI);
      }
      pen.fill();
    }
  }

  /** Selects the points whose pictures are drawn: none over another, the selected ones first. */
  placePictures(visible) {
    const cell = PICTURE_PX + GAP_PX;
    const taken = new Map();
    const placed = [];
    let count = 0;
    const order = this.chosen.size
      ? [...visible].sort((a, b) => this.chosen.has(b.id) - this.chosen.has(a.id))
      : visible;
    for (const point of order) {
      const [x, y] = this.toScreen(point.x, point.y);
      const [column, row] = [Math.floor(x / cell), Math.floor(y / cell)];
      let over = null;
      for (let at = 0; at < 9 && !over; at++) {
        const other = taken.get(`${column + (at % 3) - 1} ${row + Math.floor(at / 3) - 1}`);
        if (other && Math.abs(other.px - x) < cell && Math.abs(other.py - y) < cell) over = other;
      }
      const hasPicture = point.kind === "image" || point.kind === "video";
      if (over) {
        const half = PICTURE_PX / 2;
        if (over.covers && Math.abs(over.px - x) < half && Math.abs(over.py - y) < half) over.covers++;
      } else if (hasPicture && count < MAX_PICTURES) {
        // Its place is reserved before its picture is loaded, so that nothing jumps.
        count++;
        [point.px, point.py] = [x, y];
        taken.set(`${column} ${row}`, point);
        if (this.loaded(point)) {
          point.covers = 1;
          placed.push(point);
        }
      }
    }
    return placed;
  }

  drawPicture(pen, point) {
    const image = this.pictures.get(point.id).image;
    const half = PICTURE_PX / 2;
    const side = Math.min(image.naturalWidth, image.naturalHeight);
    const [left, top] = [point.px - half, point.py - half];
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
    pen.strokeStyle = this.style(this.chosen.has(point.id) ? "--accent" : "--paper");
    pen.lineWidth = this.chosen.has(point.id) ? 3 : 1;
    pen.beginPath();
    pen.roundRect(left, top, PICTURE_PX, PICTURE_PX, 6);
    pen.stroke();
    if (point.covers > 1) this.drawCount(pen, point.covers, point.px + half, point.py - half);
  }

  drawCount(pen, count, x, y) {
    const label = count > 999 ? "999+" : String(count);
    pen.font = `600 10px ${this.style("--st-font") || "sans-serif"}`;
    const width = Math.max(16, pen.measureText(label).width + 8);
    pen.fillStyle = "rgb(18 22 24 / 0.8)";
    pen.beginPath();
    pen.roundRect(x - width + 4, y - 5, width, 15, 8);
    pen.fill();
    pen.fillStyle = "#fff";
    pen.textAlign = "center";
    pen.fillText(label, x - width / 2 + 4, y + 6);
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
    const least = 110 / this.view.scale;
    const step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60]
      .find((step) => step >= least) ?? 60;
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
    for (const [label, x, y] of lines) pen.fillText(label, x, y);
    pen.globalAlpha = 1;
  }

  drawLegend() {
    const counts = new Map();
    for (const { kind } of this.points) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    this.legend.replaceChildren();
    for (const kind of this.data.kinds) {
      if (!counts.has(kind)) continue;
      const dot = element("i", { style: `background: ${KIND_COLOURS[kind] ?? KIND_COLOURS.other}` });
      const label = `${this.data.names[kind]} ${counts.get(kind).toLocaleString("en")}`;
      const onclick = () => {
        if (!this.hidden.delete(kind)) this.hidden.add(kind);
        button.setAttribute("aria-pressed", String(!this.hidden.has(kind)));
        this.redraw();
      };
      const attributes = { type: "button", "aria-pressed": "true", title: "Show or hide them", onclick };
      const button = element("button", attributes, dot, label);
      this.legend.append(button);
    }
  }

  // ---- pictures, loaded a few at a time

  loaded(point) {
    if (point.kind !== "image" && point.kind !== "video") return null;
    const cached = this.pictures.get(point.id);
    if (cached) return cached.isReady ? cached.image : null;
    if (!this.waiting.includes(point)) this.waiting.push(point);
    this.load();
    return null;
  }

  load() {
    while (this.loading < MAX_LOADS && this.waiting.length) {
      const point = this.waiting.pop();
      if (this.pictures.has(point.id)) continue;
      const entry = { image: new Image(), isReady: false };
      this.pictures.set(point.id, entry);
      if (this.pictures.size > MAX_CACHED) this.pictures.delete(this.pictures.keys().next().value);
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
    if (this.waiting.length > MAX_CACHED) this.waiting.splice(0, this.waiting.length - MAX_CACHED);
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
  const [south, north] = [Math.min(...ys), Math.max(...ys)];
  const [west, east] = [Math.min(...xs), Math.max(...xs)];
  return [clip(south, 90), clip(west, 180), clip(north, 90), clip(east, 180)];
}

function degrees(value, positive, negative, digits = 2) {
  const rounded = Math.abs(value).toFixed(digits);
  if (Number(rounded) === 0) return "0°";
  return `${rounded}°${value > 0 ? positive : negative}`;
}

export default mount((root) => new PointMap(root));
