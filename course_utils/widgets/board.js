// A picture with points on it that can be placed, dragged and removed, by mouse, touch or keyboard.
const STEP = 0.02; // an arrow key moves a point by this share of the axis

function render({ model, el }) {
  const board = document.createElement("div");
  board.className = "course-board";
  const picture = document.createElement("img");
  picture.alt = model.get("label");
  picture.draggable = false;
  board.append(picture);
  el.append(board);

  // data <-> share of the picture's width and height
  const toShare = ([x, y]) => {
    const [x0, x1, y0, y1] = model.get("limits"), [left, top, w, h] = model.get("box");
    return [left + (w * (x - x0)) / (x1 - x0), top + (h * (y1 - y)) / (y1 - y0)];
  };
  const toData = ([u, v]) => {
    const [x0, x1, y0, y1] = model.get("limits"), [left, top, w, h] = model.get("box");
    const inside = (t) => Math.min(1, Math.max(0, t));
    return [x0 + inside((u - left) / w) * (x1 - x0), y1 - inside((v - top) / h) * (y1 - y0)];
  };
  const at = (event) => {
    const r = board.getBoundingClientRect();
    return [(event.clientX - r.left) / r.width, (event.clientY - r.top) / r.height];
  };
  const onAxes = ([u, v]) => {
    const [left, top, w, h] = model.get("box");
    return u >= left && u <= left + w && v >= top && v <= top + h;
  };

  const handles = []; // one focusable button a point; kept between redraws, so that focus stays
  const set = (points) => { model.set("points", points); model.save_changes(); place(); };
  const move = (i, to) => set(model.get("points").map((p, j) => (j === i ? to : p)));
  const remove = (i) => {
    if (!model.get("growing")) return;
    set(model.get("points").filter((_, j) => j !== i));
    (handles[Math.min(i, handles.length - 1)] ?? board).focus();
  };

  const newHandle = () => {
    const i = handles.length, handle = document.createElement("button");
    handle.className = "course-board-point";
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault(); event.stopPropagation();
      handle.focus(); handle.setPointerCapture(event.pointerId);
      const follow = (e) => move(i, toData(at(e)));
      const end = () => {
        handle.removeEventListener("pointermove", follow);
        for (const kind of ["pointerup", "pointercancel"]) handle.removeEventListener(kind, end);
      };
      handle.addEventListener("pointermove", follow);
      for (const kind of ["pointerup", "pointercancel"]) handle.addEventListener(kind, end);
    });
    handle.addEventListener("dblclick", (e) => { e.stopPropagation(); remove(i); });
    handle.addEventListener("contextmenu", (e) => { e.preventDefault(); e.stopPropagation(); remove(i); });
    handle.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (event.key === "Delete" || event.key === "Backspace") remove(i);
      else if (way) {
        const [x0, x1, y0, y1] = model.get("limits"), [x, y] = model.get("points")[i];
        move(i, [x + way[0] * STEP * (x1 - x0), y + way[1] * STEP * (y1 - y0)]);
      } else return;
      event.preventDefault(); event.stopPropagation();
    });
    handles.push(handle);
    board.append(handle);
  };

  const place = () => {
    const points = model.get("points"), [left, top, w, h] = model.get("box");
    const within = (t, from, size) => Math.min(from + size, Math.max(from, t)); // far points wait at the edge
    while (handles.length < points.length) newHandle();
    while (handles.length > points.length) handles.pop().remove();
    points.forEach((point, i) => {
      const [u, v] = toShare(point);
      handles[i].style.left = `${100 * within(u, left, w)}%`;
      handles[i].style.top = `${100 * within(v, top, h)}%`;
      const name = model.get("names")[i];
      handles[i].textContent = name ?? "";
      handles[i].style.background = model.get("colors")[i] ?? "";
      handles[i].ariaLabel = `${name ?? `point ${i + 1}`}: x ${point[0].toFixed(2)}, y ${point[1].toFixed(2)}; `
        + `arrow keys move it${model.get("growing") ? ", Delete removes it" : ""}`;
    });
  };

  board.addEventListener("pointerdown", (event) => {
    const where = at(event);
    if (event.button !== 0 || !model.get("growing") || !onAxes(where)) return;
    event.preventDefault();
    set([...model.get("points"), toData(where)]);
    handles.at(-1).focus();
  });

  let address = null;
  const paint = () => {
    const previous = address;
    address = URL.createObjectURL(new Blob([model.get("image")], { type: "image/png" }));
    picture.src = address;
    if (previous) URL.revokeObjectURL(previous);
  };
  model.on("change:image", paint);
  model.on("change:points change:limits change:box", place);
  paint();
  place();
  return () => URL.revokeObjectURL(address);
}

export default { render };
