"use strict";
// The script of the page: it shows, hides, sorts and colours what is there, and makes nothing up.

const within = (node, selector) => [...node.querySelectorAll(selector)];

// Tables: a button in each head sorts the rows below it.
const NUMBER = /^[<≥]?\s*([-+−]?[\d,]*\.?\d+(?:e[-+]?\d+)?)/;
const EMPTY = "—";
const key = cell => {
  if (cell.dataset.order) return Number(cell.dataset.order);
  const match = NUMBER.exec(cell.textContent.trim());
  return match ? Number(match[1].replace(/,/g, "").replace("−", "-")) : null;
};
function sort(table, column, descending) {
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter(row => row.cells.length > column);
    const empty = row => row.cells[column].textContent.trim() === EMPTY;
    const filled = rows.filter(row => !empty(row));
    const numeric = filled.every(row => key(row.cells[column]) !== null);
    const compare = (a, b) => numeric
      ? key(a.cells[column]) - key(b.cells[column])
      : a.cells[column].textContent.localeCompare(b.cells[column].textContent);
    filled.sort((a, b) => (descending ? -1 : 1) * compare(a, b));
    body.append(...filled, ...rows.filter(empty));  // what has no value stands below in both orders
  }
}
for (const table of document.querySelectorAll("table")) {
  const heads = within(table, "thead th");
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      // The first column holds names, all others numbers, of which the largest are of interest first.
      const before = head.getAttribute("aria-sort");
      const first = column ? "descending" : "ascending";
      const order = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
      for (const other of heads) other.setAttribute("aria-sort", other === head ? order : "none");
      sort(table, column, order === "descending");
    });
  });
}

// Charts: the values at the pointer, the line that is pointed at, and one of several axes.
for (const plot of document.querySelectorAll(".plot")) {
  const svg = plot.querySelector("svg"), cursor = plot.querySelector(".cursor");
  const output = plot.querySelector(".reading");
  const lines = JSON.parse(plot.dataset.readings), parts = within(svg, "[data-of]");
  const places = [...new Set(lines.flatMap(line => line.points.map(([x]) => x)))].sort((a, b) => a - b);
  const nearest = (points, x) => points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
  const element = (name, text, type) => {
    const made = document.createElement(name);
    made.textContent = text;
    if (type) made.className = type;
    return made;
  };
  let at = -1;  // which of the places is read
  const read = index => {
    at = Math.max(0, Math.min(index, places.length - 1));
    const x = places[at], points = lines.map(line => nearest(line.points, x));
    const [, , here] = points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
    cursor.setAttribute("transform", `translate(${x},0)`);
    cursor.style.display = "block";
    const values = lines.map((line, i) => {
      const [, , there, value] = points[i], row = element("span", "");
      const dot = element("span", "", "dot");
      dot.style.setProperty("--hue", `var(${line.colour})`);
      row.append(dot, `${line.name} `, element("b", value), there === here ? "" : ` at ${there}`);
      return row;
    });
    output.replaceChildren(element("span", `${plot.dataset.x}: ${here}`, "at"), ...values);
  };
  const rest = () => {
    at = -1;
    cursor.style.display = "none";
    for (const part of parts) part.classList.remove("dim");
    const hint = "Point at the chart, or focus it and press ← or →, to read values.";
    output.replaceChildren(element("span", hint, "hint"));
  };
  const move = event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    read(places.indexOf(nearest(places.map(place => [place]), x)[0]));
    const of = event.target.dataset.of;
    for (const part of parts) part.classList.toggle("dim", of !== undefined && part.dataset.of !== of);
  };
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") rest(); });
  plot.tabIndex = 0;
  plot.setAttribute("role", "group");
  plot.setAttribute("aria-label", `${svg.getAttribute("aria-label")}: arrow keys read the values`);
  plot.addEventListener("focus", () => { if (at < 0 && plot.matches(":focus-visible")) read(places.length - 1); });
  plot.addEventListener("blur", rest);
  plot.addEventListener("keydown", event => {
    const step = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: places.length - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    read(step);
  });
  read(places.length - 1);
  output.style.minHeight = `${output.offsetHeight}px`;  // so that nothing moves when values are read
  rest();
}
for (const axes of document.querySelectorAll(".axes")) {
  const choice = axes.querySelector("select");
  const show = () => {
    for (const drawing of within(axes, "[data-axis]")) drawing.hidden = drawing.dataset.axis !== choice.value;
  };
  choice.addEventListener("change", show);
  axes.querySelector("label").hidden = false;
  show();
}

// Answers. Of each quantity of tokens: hues of its negative and positive values, and what has full colour, in
// hundredths (0: the largest).
const SCALES = {
  reward: ["--low", "--high", 0], advantage: ["--low", "--high", 0],
  logp: ["--rare", "--rare", 300], entropy: ["--open", "--open", 200],
};
const numbers = (pre, name) => (pre.dataset[name] || "").split(" ").map(Number);
const tint = (hue, share) => `color-mix(in srgb, var(${hue}) ${Math.round(100 * share)}%, transparent)`;
const signed = value => (value < 0 ? "−" : "+") + Math.abs(value / 100).toFixed(2);
const tokens = pre => {  // a span a token, made when it is first needed
  if (!pre.firstElementChild) {
    const text = pre.textContent;
    let at = 0;
    pre.replaceChildren(...numbers(pre, "tokens").map(length => {
      const span = document.createElement("span");
      span.textContent = text.slice(at, at += length);
      span.className = span.textContent.startsWith("\n") ? "break" : "";
      return span;
    }));
  }
  return [...pre.children];
};
for (const browser of document.querySelectorAll(".browser")) {
  const problems = within(browser, ".problem"), filters = within(browser, "[data-filter]");
  const colour = browser.querySelector("[data-colour]"), scale = browser.querySelector(".scale");
  const recorded = within(browser, "pre[data-tokens]");
  const largest = {};  // of each quantity, among all tokens of this browser
  const most = name => largest[name] ??= recorded.flatMap(pre => numbers(pre, name))
    .reduce((greatest, value) => Math.max(greatest, Math.abs(value) || 0), 1);
  let at = 0;
  const paint = problem => {
    const name = colour.value, [low, high, fixed] = SCALES[name] || [], full = fixed || most(name);
    for (const pre of within(problem, "pre[data-tokens]")) {
      const values = name && pre.dataset[name] ? numbers(pre, name) : [];
      pre.classList.toggle("coloured", values.length > 0);
      tokens(pre).forEach((span, i) => {
        const share = Math.min(1, Math.abs(values[i] || 0) / full);
        span.style.background = share ? tint(values[i] < 0 ? low : high, share) : "";
      });
    }
    scale.hidden = !name;
    if (!name) return;
    const [left, bar, right] = scale.children, both = !fixed;
    left.textContent = both ? signed(-full) : "0";
    right.textContent = both ? signed(full) : name === "logp" ? "−3 or less" : "2 nats or more";
    bar.style.background = `linear-gradient(to right, ${both ? tint(low, 1) : "transparent"}, ` +
      `${both ? "transparent, " : ""}${tint(high, 1)})`;
  };
  const matching = () => problems.filter(problem => {
    let any = false;
    for (const card of within(problem, ".card")) {
      const facts = { ...problem.dataset, ...card.dataset };
      card.hidden = filters.some(filter => filter.value && facts[filter.dataset.filter] !== filter.value);
      any = any || !card.hidden;
    }
    return any;
  });
  const show = () => {
    const left = matching();
    at = Math.max(0, Math.min(at, left.length - 1));
    for (const problem of problems) problem.hidden = problem !== left[at];
    browser.querySelector(".page").textContent = left.length ? `${at + 1} of ${left.length}` : "none";
    browser.querySelector(".none").hidden = left.length > 0;
    if (colour && left.length) paint(left[at]);
  };
  const follow = () => {  // a link to a problem shows it
    const linked = problems.findIndex(problem => problem.id === decodeURIComponent(location.hash.slice(1)));
    if (linked < 0) return;
    for (const filter of filters) filter.value = "";
    at = linked;
    show();
    problems[linked].scrollIntoView();
  };
  for (const filter of filters) filter.addEventListener("change", () => { at = 0; show(); });
  for (const button of within(browser, "button"))
    button.addEventListener("click", () => { at += Number(button.dataset.step); show(); });
  if (colour) {
    colour.addEventListener("change", show);
    browser.addEventListener("pointerover", event => {
      const pre = event.target.closest("pre[data-tokens]"), i = pre ? [...pre.children].indexOf(event.target) : -1;
      if (i < 0) return;
      const texts = [...colour.options].filter(option => option.value && pre.dataset[option.value]).map(option => {
        const value = numbers(pre, option.value)[i];
        return `${option.text} ${Number.isNaN(value) ? EMPTY : signed(value)}`;
      });
      scale.querySelector(".at").textContent = `${JSON.stringify(event.target.textContent)}: ${texts.join(", ")}`;
    });
  }
  browser.querySelector(".controls").hidden = false;
  addEventListener("hashchange", follow);
  show();
  follow();
}

addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
