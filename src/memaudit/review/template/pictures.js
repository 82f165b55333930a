/* Draw images from the sheets beside the page. */

const KEPT_SHEETS = 24; // loaded at a time; the browser may release others

class Pictures {
  constructor(content, onMissing) {
    this.content = content;
    this.onMissing = onMissing;
    this.sheets = new Map(); // file -> {image, ready}
    this.wanted = new WeakMap(); // canvas -> the layers requested last
  }

  place(side, index) {
    const { files, columns, rows, width, height } = this.content.sheets;
    const at = this.content[side][index].place;
    const inside = at % (columns * rows);
    return {
      file: files[Math.floor(at / (columns * rows))],
      x: (inside % columns) * width,
      y: Math.floor(inside / columns) * height,
    };
  }

  sheet(file) {
    const known = this.sheets.get(file);
    this.sheets.delete(file); // the most recently used sheet goes last
    const sheet = known || this.load(file);
    this.sheets.set(file, sheet);
    if (this.sheets.size > KEPT_SHEETS) this.sheets.delete(this.sheets.keys().next().value);
    return sheet;
  }

  load(file) {
    const image = new Image();
    image.src = `images/${file}`;
    const sheet = { image, ready: false };
    sheet.loaded = image.decode().then(
      () => (sheet.ready = true),
      () => {
        this.sheets.delete(file);
        this.onMissing(file);
      },
    );
    return sheet;
  }

  prefetch(examples) {
    for (const [side, index] of examples) this.sheet(this.place(side, index).file);
  }

  /* Draw layers, [{side, index, mirror, alpha, blend}], on top of each other, immediately if loaded. */
  draw(canvas, layers) {
    this.wanted.set(canvas, layers);
    const sheets = layers.map(({ side, index }) => this.sheet(this.place(side, index).file));
    const paint = () => {
      if (this.wanted.get(canvas) !== layers || !sheets.every((sheet) => sheet.ready)) return;
      const { width, height } = this.content.sheets;
      canvas.width = width; // also clears it
      canvas.height = height;
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      layers.forEach(({ side, index, mirror, alpha = 1, blend = "source-over" }, i) => {
        const { x, y } = this.place(side, index);
        context.globalAlpha = alpha;
        context.globalCompositeOperation = blend;
        context.setTransform(mirror ? -1 : 1, 0, 0, 1, mirror ? width : 0, 0);
        context.drawImage(sheets[i].image, x, y, width, height, 0, 0, width, height);
      });
      canvas.dataset.shown = layers.map(({ side, index }) => `${side} ${index}`).join(", ");
    };
    delete canvas.dataset.shown;
    if (sheets.every((sheet) => sheet.ready)) paint();
    else Promise.all(sheets.map((sheet) => sheet.loaded)).then(paint);
  }
}
