// The stepper as anywidget draws it. Whatever comes from a run becomes text of an element, never markup.

const PAGE = 50;

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function asker(model) {
  const waiting = new Map();
  let number = 0;
  const mine = Math.random().toString(36).slice(2); // several views of one widget share its channel
  const heard = (answer) => {
    const found = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (found) answer.error ? found.reject(new Error(answer.error)) : found.resolve(answer);
  };
  model.on("msg:custom", heard);
  const ask = (question) =>
    new Promise((resolve, reject) => {
      const id = `${mine}-${(number += 1)}`;
      waiting.set(id, { resolve, reject });
      model.send({ id, ...question });
    });
  return { ask, stop: () => model.off("msg:custom", heard) };
}

function render({ model, el }) {
  const { ask, stop } = asker(model);
  const pages = new Map();
  const box = make("div", undefined, { class: "gatepost-stepper", tabindex: "0", role: "group", "aria-label": "Stepper" });
  const title = make("p");
  const bar = make("div", undefined, { class: "bar" });
  const slider = make("input", undefined, { type: "range", "aria-label": "Transition" });
  const place = make("span", undefined, { "aria-live": "polite" });
  const other = make("input", undefined, { type: "number", "aria-label": "Compare with transition", placeholder: "previous" });
  const what = make("div");
  const changed = make("div");
  const state = make("div", undefined, { class: "tree" });
  let shown = 0;

  const run = () => model.get("run");
  const go = (seq) => {
    const { first, last } = run();
    model.set("at", Math.max(first, Math.min(last, seq)));
    model.save_changes();
  };
  const button = (text, label, act) => {
    const made = make("button", text, { type: "button", "aria-label": label, title: label });
    made.addEventListener("click", act);
    return made;
  };
  const again = async () => {
    pages.clear();
    await transition(model.get("at")).catch(() => undefined);
    draw();
  };
  bar.append(
    button("⏮", "First", () => go(run().first)),
    button("◀", "Previous", () => go(model.get("at") - 1)),
    button("▶", "Next", () => go(model.get("at") + 1)),
    button("⏭", "Last", () => go(run().last)),
    slider,
    place,
    make("label", "compare with"),
    other,
    button("↻", "Look again", again),
  );
  box.append(title, bar, what, changed, state);
  el.append(box);

  async function transition(seq) {
    const key = Math.floor((seq - 1) / PAGE);
    if (!pages.has(key)) pages.set(key, (await ask({ ask: "page", after: key * PAGE })).page);
    return pages.get(key).find((one) => one.seq === seq);
  }

  function frame() {
    const { run: id, workflow, goal, status, forked, first, last } = run();
    title.replaceChildren(make("strong", id), ` ${workflow}: ${goal} · ${status}${forked ? ` · ${forked}` : ""}`);
    for (const part of [slider, other]) Object.assign(part, { min: first, max: last });
    slider.value = model.get("at");
    place.textContent = `${model.get("at")} of ${last}`;
  }

  function tell(one) {
    const list = make("ul");
    for (const { kind, text } of one.details) {
      const item = make("li");
      item.append(make("span", kind, { class: "kind" }), ` ${text}`);
      list.append(item);
    }
    const next = one.next.join(", ") || "nothing";
    what.replaceChildren(
      make("p", `#${one.seq} ${one.headline}`),
      make("p", `${one.at} · caused by ${one.cause} · next: ${next} · ${one.status}${one.reason ? `: ${one.reason}` : ""}`),
      list,
    );
  }

  function tellChanges({ changes, more }, since) {
    const count = changes.length + more;
    const part = make("details");
    part.open = true;
    const table = make("table");
    for (const change of changes) {
      const row = make("tr");
      for (const side of ["path", "before", "after"]) row.append(make("td", change[side]));
      table.append(row);
    }
    part.append(make("summary", `${count} ${count === 1 ? "change" : "changes"} since ${since}`), table);
    if (more) part.append(make("p", `… ${more} more`));
    changed.replaceChildren(part);
  }

  function branch(node, path, seq) {
    if (node.size === undefined) return make("div", `${node.name}: ${node.text}`);
    const part = make("details");
    part.append(make("summary", `${node.name}: ${node.text}`));
    const fill = (found, from) => {
      for (const member of found.members) part.append(branch(member, [...path, member.key], seq));
      if (!found.more) return;
      const start = from + found.members.length;
      const more = button(`… ${found.more} more`, "Show more", async () => {
        const { tree } = await ask({ ask: "part", seq, path, start });
        more.remove();
        fill(tree, start);
      });
      part.append(more);
    };
    if (node.members) fill(node, 0);
    else
      part.addEventListener("toggle", async () => fill((await ask({ ask: "part", seq, path, start: 0 })).tree, 0), { once: true });
    return part;
  }

  async function draw() {
    const turn = (shown += 1); // whoever steps on does not wait for what he left
    const late = () => turn !== shown;
    const seq = model.get("at");
    frame();
    try {
      const one = await transition(seq);
      if (late()) return;
      frame();
      if (!one) return what.replaceChildren(make("p", "No transition yet."));
      tell(one);
      if (!one.kept) {
        changed.replaceChildren(make("p", "No state was kept here (the workflow's checkpoint policy)."));
        return state.replaceChildren();
      }
      const found = await ask({ ask: "state", seq });
      const against = other.value === "" ? null : Number(other.value);
      const compared = against === null ? found : await ask({ ask: "compare", seq, with: against });
      if (late()) return;
      tellChanges(compared, against !== null ? `#${against}` : found.since === null ? "nothing" : `#${found.since}`);
      const tree = branch(found.tree, [], seq);
      tree.open = true;
      state.replaceChildren(tree);
    } catch (error) {
      if (!late()) changed.replaceChildren(make("p", error.message, { class: "wrong", role: "alert" }));
    } finally {
      if (!late()) box.dataset.at = seq;
    }
  }

  const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
  box.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = { Home: run().first, End: run().last }[event.key] ?? model.get("at") + (steps[event.key] ?? NaN);
    if (Number.isNaN(to)) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has keys of its own
    go(to);
  });
  slider.addEventListener("input", () => go(Number(slider.value)));
  other.addEventListener("change", draw);
  model.on("change:at", draw);
  draw();
  return () => {
    stop();
    model.off("change:at", draw);
  };
}

export default { render };
