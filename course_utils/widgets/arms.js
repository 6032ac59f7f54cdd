// Slot machines to pull: by click, or with Tab, arrow keys and Enter, or the keys 1, 2, 3 ...
function render({ model, el }) {
  const game = document.createElement("div"), row = document.createElement("div");
  game.className = "course-arms";
  row.className = "course-arms-row";
  row.setAttribute("role", "group");
  row.ariaLabel = "the arms";
  const next = document.createElement("button");
  next.className = "course-arms-next";
  next.textContent = "Next";
  game.append(row, next);
  el.append(game);

  const send = (name, value) => { model.set(name, value); model.save_changes(); };
  const over = () => model.get("answered") >= model.get("limit");
  const pull = (arm) => {
    const asked = model.get("asked");
    if (!over() && asked.length === model.get("answered")) send("asked", [...asked, arm]);
  };
  const arms = [];
  const newArm = (i) => {
    const button = document.createElement("button");
    const letter = document.createElement("b"), record = document.createElement("span"), note = document.createElement("span");
    letter.textContent = "ABCDEFGHIJ"[i];
    letter.style.color = model.get("colors")[i];
    record.className = "course-arms-record";
    note.className = "course-arms-note";
    button.append(letter, record, note);
    button.addEventListener("click", () => pull(i));
    button.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const digit = arms[Number(event.key) - 1] && !event.ctrlKey && !event.metaKey;
      if (way) arms[i + way]?.focus();
      if (digit) { arms[Number(event.key) - 1].focus(); pull(Number(event.key) - 1); }
      if (way || digit) event.preventDefault();
      if (way || digit || event.key === "Enter" || event.key === " ") event.stopPropagation();
    });
    row.append(button);
    return button;
  };
  next.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") event.stopPropagation();
  });
  next.addEventListener("click", () => send("number", model.get("number") + 1));

  const tell = () => {
    const records = model.get("records"), inside = game.contains(document.activeElement);
    while (arms.length < records.length) arms.push(newArm(arms.length));
    records.forEach((record, i) => {
      const [letter, seen, note] = arms[i].children, paid = [...record].filter((c) => c === "●").length;
      seen.textContent = record;
      note.textContent = model.get("notes")[i] ?? "";
      arms[i].ariaDisabled = over();
      arms[i].ariaLabel = `arm ${letter.textContent}: paid ${paid} of ${record.length}; ${note.textContent}`;
    });
    next.disabled = !over() || model.get("last");
    if (inside && over() && !next.disabled) next.focus({ preventScroll: true });
    if (inside && !over() && document.activeElement === next) arms[0].focus({ preventScroll: true });
    if (inside && !game.contains(document.activeElement)) arms[0].focus({ preventScroll: true });
  };
  model.on("change:records change:notes change:answered change:last", tell);
  tell();
  return () => model.off("change:records change:notes change:answered change:last", tell);
}

export default { render };
