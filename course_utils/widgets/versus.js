// One drawing, and others to choose from: by click, or with Tab, arrow keys and Enter.
function render({ model, el }) {
  const game = document.createElement("div");
  game.className = "course-versus";
  const asked = new Image(84, 84), options = document.createElement("div");
  asked.alt = "the drawing asked for";
  options.className = "course-versus-options";
  options.setAttribute("role", "group");
  options.ariaLabel = "the drawings to choose from";
  const next = document.createElement("button");
  next.className = "course-versus-next";
  next.textContent = "Next";
  const question = document.createElement("div");
  question.append(asked, next);
  game.append(question, options);
  el.append(game);

  const send = (name, value) => { model.set(name, value); model.save_changes(); };
  const newOption = (src, i) => {
    const button = document.createElement("button"), image = new Image(56, 56), note = document.createElement("span");
    image.src = src;
    image.alt = `drawing ${i + 1}`;
    button.append(image, note);
    button.addEventListener("click", () => { if (model.get("chosen") < 0) send("chosen", i); });
    button.addEventListener("keydown", (event) => {
      const across = model.get("columns");
      const way = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
      if (way) { options.children[i + way]?.focus(); event.preventDefault(); }
      if (way || event.key === "Enter" || event.key === " ") event.stopPropagation();
    });
    return button;
  };
  next.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") event.stopPropagation();
  });
  next.addEventListener("click", () => send("number", model.get("number") + 1));

  const ask = () => {
    const inside = game.contains(document.activeElement);
    asked.src = model.get("asked");
    options.style.gridTemplateColumns = `repeat(${model.get("columns")}, max-content)`;
    options.replaceChildren(...model.get("options").map(newOption));
    if (inside) options.firstChild.focus({ preventScroll: true });
    tell();
  };
  const tell = () => {
    model.get("notes").forEach(([text, kind], i) => {
      const button = options.children[i];
      if (!button) return;
      button.lastChild.textContent = text;
      button.dataset.kind = kind;
    });
    next.disabled = model.get("chosen") < 0 || model.get("last");
    if (!next.disabled && options.contains(document.activeElement)) next.focus({ preventScroll: true });
  };
  model.on("change:options", ask);
  model.on("change:notes change:chosen change:last", tell);
  ask();
  return () => { model.off("change:options", ask); model.off("change:notes change:chosen change:last", tell); };
}

export default { render };
