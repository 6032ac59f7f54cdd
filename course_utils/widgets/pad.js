// A drawing pad: strokes by mouse, pen or finger, or line by line with the keyboard.
// Strokes are lists of [x, y], in hundredths of the pad's side from its upper left corner.
const SIZE = 280, STEP = 5;

function render({ model, el }) {
  const pad = document.createElement("canvas");
  pad.className = "course-pad";
  pad.width = pad.height = SIZE;
  pad.tabIndex = 0;
  pad.setAttribute("role", "application");
  pad.ariaLabel = model.get("label");
  el.append(pad);
  const pen = pad.getContext("2d");
  let drawing = null; // the pointer that draws; a second finger is ignored
  let cross = null, open = false; // keyboard: where the next line ends, and whether the pen is down

  const paint = () => {
    const s = SIZE / 100, r = (model.get("width") * s) / 2;
    pen.fillStyle = "#fff"; pen.fillRect(0, 0, SIZE, SIZE);
    pen.fillStyle = pen.strokeStyle = "#000";
    pen.lineWidth = 2 * r; pen.lineCap = pen.lineJoin = "round";
    for (const stroke of model.get("strokes")) {
      const [[x, y], ...rest] = stroke;
      pen.beginPath(); pen.arc(x * s, y * s, r, 0, 7); pen.fill(); // a dot, or a round beginning
      pen.beginPath(); pen.moveTo(x * s, y * s);
      for (const [u, v] of rest) pen.lineTo(u * s, v * s);
      pen.stroke();
    }
    if (cross && document.activeElement === pad) { // where the next line will end
      const [x, y] = cross.map((v) => v * s);
      pen.strokeStyle = "#D55E00"; pen.lineWidth = 2;
      pen.beginPath();
      pen.moveTo(x - 8, y); pen.lineTo(x + 8, y); pen.moveTo(x, y - 8); pen.lineTo(x, y + 8);
      if (open && strokes().length) {
        const [u, v] = strokes().at(-1).at(-1);
        pen.moveTo(u * s, v * s); pen.lineTo(x, y);
      }
      pen.stroke();
    }
  };

  const strokes = () => model.get("strokes");
  const set = (all) => { model.set("strokes", all); model.save_changes(); };
  const begin = (point) => set([...strokes(), [point]]);
  const lengthen = (point) => set([...strokes().slice(0, -1), [...(strokes().at(-1) ?? []), point]]);

  const at = (event) => {
    const r = pad.getBoundingClientRect();
    const share = (v) => Math.round(1000 * Math.min(1, Math.max(0, v))) / 10;
    return [share((event.clientX - r.left) / r.width), share((event.clientY - r.top) / r.height)];
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || drawing !== null) return;
    event.preventDefault();
    drawing = event.pointerId; cross = null; open = false;
    pad.focus({ preventScroll: true }); pad.setPointerCapture(drawing);
    begin(at(event));
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drawing) return;
    const [x, y] = at(event), [u, v] = strokes().at(-1)?.at(-1) ?? [-9, -9];
    if (Math.hypot(x - u, y - v) >= 0.7) lengthen([x, y]);
  });
  for (const kind of ["pointerup", "pointercancel"])
    pad.addEventListener(kind, (event) => { if (event.pointerId === drawing) drawing = null; });

  // keyboard: arrows move a cross, space draws a line to it, Enter lifts the pen
  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  pad.addEventListener("keydown", (event) => {
    const way = WAYS[event.key];
    if (way) cross = (cross ?? [50, 50]).map((v, i) => Math.min(100, Math.max(0, v + STEP * way[i])));
    else if (event.key === " ") {
      cross ??= [50, 50];
      (open && strokes().length ? lengthen : begin)([...cross]);
      open = true;
    } else if (event.key === "Enter") open = false;
    else if (event.key === "Backspace") { open = false; set(strokes().slice(0, -1)); }
    else return;
    event.preventDefault(); event.stopPropagation();
    paint();
  });
  pad.addEventListener("focus", paint);
  pad.addEventListener("blur", () => { open = false; paint(); });

  model.on("change:strokes", paint);
  paint();
  return () => model.off("change:strokes", paint);
}

export default { render };
