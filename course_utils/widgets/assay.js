// Molecules to choose from: press one, by mouse or with arrow keys and Enter, and it is measured.
function render({ model, el }) {
  const grid = document.createElement("div");
  grid.className = "course-assay";
  grid.setAttribute("role", "group");
  grid.ariaLabel = "molecules to measure";
  el.append(grid);

  const newButton = (src, i) => {
    const button = document.createElement("button"), image = new Image(120, 88), note = document.createElement("span");
    image.src = src;
    image.alt = "";
    button.append(image, note);
    button.addEventListener("click", () => {
      const tested = model.get("tested");
      if (tested.includes(i) || model.get("spent")) return;
      model.set("tested", [...tested, i]);
      model.save_changes();
    });
    button.addEventListener("keydown", (event) => {
      const across = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
      const way = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
      if (way) { grid.children[i + way]?.focus(); event.preventDefault(); }
      if (way || event.key === "Enter" || event.key === " ") event.stopPropagation();
    });
    return button;
  };
  const tell = () => {
    const notes = model.get("notes"), ranks = model.get("ranks"), spent = model.get("spent");
    [...grid.children].forEach((button, i) => {
      const note = notes[i] ?? "";
      button.dataset.note = note;
      button.lastChild.textContent = note ? (note === "active" ? "✓ active" : "✗ inactive") : `rank ${ranks[i]}`;
      button.ariaLabel = `molecule ${i + 1}: ${note || `not measured, rank ${ranks[i]}`}`;
      button.ariaDisabled = Boolean(note) || spent;
    });
  };
  const lay = () => { grid.replaceChildren(...model.get("pictures").map(newButton)); tell(); };
  model.on("change:pictures", lay);
  model.on("change:notes change:ranks change:spent", tell);
  lay();
  return () => { model.off("change:pictures", lay); model.off("change:notes change:ranks change:spent", tell); };
}

export default { render };
