/* Draws nothing: `/` focuses the box, and files that are pasted or dropped anywhere become examples. */

const BOX = ".st-key-q input";
const CHOOSER = '.st-key-examples input[type="file"]';

class Catcher {
  constructor() {
    this.veil = element("div", { role: "status", "data-mm": "veil" }, "Drop it to search for what is like it");
    Object.assign(this.veil.style, {
      position: "fixed", inset: "12px", zIndex: "999999", display: "none", placeItems: "center",
      border: "2px dashed currentColor", borderRadius: "12px", font: "500 20px sans-serif",
      background: "rgb(20 26 29 / 0.82)", color: "#fff", pointerEvents: "none",
    });
    this.handlers = {
      keydown: (event) => this.onKey(event),
      paste: (event) => this.onPaste(event),
      dragover: (event) => this.onDrag(event),
      dragleave: (event) => { if (!event.relatedTarget) this.show(false); },
      drop: (event) => this.onDrop(event),
    };
  }

  update() {
    document.body.append(this.veil);
    for (const [name, handler] of Object.entries(this.handlers)) document.addEventListener(name, handler, true);
  }

  leave() {
    this.veil.remove();
    for (const [name, handler] of Object.entries(this.handlers)) document.removeEventListener(name, handler, true);
  }

  show(isShown) {
    this.veil.style.display = isShown ? "grid" : "none";
  }

  onKey(event) {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping()) return;
    const box = document.querySelector(BOX);
    if (!box || document.querySelector('[role="dialog"]')) return;
    event.preventDefault();
    box.focus();
    box.select();
  }

  onPaste(event) {
    if (event.clipboardData?.files.length && this.upload(event.clipboardData.files)) event.preventDefault();
  }

  onDrag(event) {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files") || !document.querySelector(CHOOSER)) return;
    event.preventDefault();
    this.show(true);
  }

  onDrop(event) {
    this.show(false);
    if (!event.dataTransfer?.files.length || !this.upload(event.dataTransfer.files)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Hands files to the element that uploads, as if they had been chosen there. */
  upload(files) {
    const chooser = document.querySelector(CHOOSER);
    if (!chooser) return false;
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(file);
    chooser.files = transfer.files;
    chooser.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  }
}

export default mount(() => new Catcher());
