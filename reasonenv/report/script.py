"""The script of the page: it shows, hides and colours what is there, and makes nothing up."""

SCRIPT = """
for (const axes of document.querySelectorAll(".axes")) {
  const choice = axes.querySelector("select");
  const show = () => {
    for (const drawing of axes.querySelectorAll("[data-axis]"))
      drawing.hidden = drawing.dataset.axis !== choice.value;
  };
  choice.addEventListener("change", show);
  axes.querySelector("label").hidden = false;
  show();
}
for (const svg of document.querySelectorAll("svg")) {  // the agent that is pointed at stands out
  const parts = [...svg.querySelectorAll("[data-of]")];
  svg.addEventListener("pointerover", event => {
    const of = event.target.dataset.of;
    for (const part of parts) part.classList.toggle("dim", of !== undefined && part.dataset.of !== of);
  });
  svg.addEventListener("pointerleave", () => { for (const part of parts) part.classList.remove("dim"); });
}
// Of each quantity: hues of its negative and positive values, and what has full colour, in hundredths (0: the largest).
const SCALES = {
  reward: ["--low", "--high", 0], advantage: ["--low", "--high", 0],
  logp: ["--rare", "--rare", 300], entropy: ["--open", "--open", 200],
};
const numbers = (pre, key) => (pre.dataset[key] || "").split(" ").map(Number);
const tint = (hue, share) => `color-mix(in srgb, var(${hue}) ${Math.round(100 * share)}%, transparent)`;
const sign = value => (value < 0 ? "−" : "+") + Math.abs(value / 100).toFixed(2);
const tokens = pre => {  // a span a token, made when it is first needed
  if (!pre.firstElementChild) {
    const text = pre.textContent;
    let at = 0;
    pre.replaceChildren(...numbers(pre, "tokens").map(length => {
      const span = document.createElement("span");
      span.textContent = text.slice(at, at += length);
      span.className = span.textContent.startsWith("\\n") ? "break" : "";
      return span;
    }));
  }
  return [...pre.children];
};
for (const browser of document.querySelectorAll(".browser")) {
  const all = selector => [...browser.querySelectorAll(selector)], problems = all(".problem");
  const filters = all("[data-filter]"), colour = browser.querySelector("[data-colour]");
  const scale = browser.querySelector(".scale"), kept = all("pre[data-tokens]");
  const largest = {};  // of each quantity, among all tokens of this browser
  const most = key => largest[key] ??= kept.flatMap(pre => numbers(pre, key))
    .reduce((found, value) => Math.max(found, Math.abs(value) || 0), 1);
  let at = 0;
  const paint = problem => {
    const key = colour.value, [low, high, fixed] = SCALES[key] || [], full = fixed || most(key);
    for (const pre of problem.querySelectorAll("pre[data-tokens]")) {
      const values = key && pre.dataset[key] ? numbers(pre, key) : [];
      pre.classList.toggle("coloured", values.length > 0);
      tokens(pre).forEach((span, i) => {
        const share = Math.min(1, Math.abs(values[i] || 0) / full);
        span.style.background = share ? tint(values[i] < 0 ? low : high, share) : "";
      });
    }
    scale.hidden = !key;
    if (!key) return;
    const [left, bar, right] = scale.children, both = !fixed;
    left.textContent = both ? sign(-full) : "0";
    right.textContent = both ? sign(full) : key === "logp" ? "−3 or less" : "2 nats or more";
    bar.style.background = `linear-gradient(to right, ${both ? tint(low, 1) : "transparent"}, ` +
      `${both ? "transparent, " : ""}${tint(high, 1)})`;
  };
  const show = () => {
    const left = problems.filter(problem => {
      let any = false;
      for (const card of problem.querySelectorAll(".card")) {
        const given = {...problem.dataset, ...card.dataset};
        card.hidden = filters.some(f => f.value && given[f.dataset.filter] !== f.value);
        any = any || !card.hidden;
      }
      return any;
    });
    at = Math.max(0, Math.min(at, left.length - 1));
    for (const problem of problems) problem.hidden = problem !== left[at];
    browser.querySelector(".page").textContent = left.length ? `${at + 1} of ${left.length}` : "none";
    browser.querySelector(".none").hidden = left.length > 0;
    if (colour && left.length) paint(left[at]);
  };
  for (const filter of filters) filter.addEventListener("change", () => { at = 0; show(); });
  for (const button of all("button"))
    button.addEventListener("click", () => { at += Number(button.dataset.step); show(); });
  if (colour) {
    colour.addEventListener("change", show);
    browser.addEventListener("pointerover", event => {
      const pre = event.target.closest("pre[data-tokens]"), i = pre ? [...pre.children].indexOf(event.target) : -1;
      if (i < 0) return;
      const told = [...colour.options].filter(o => o.value && pre.dataset[o.value]).map(o => {
        const value = numbers(pre, o.value)[i];
        return `${o.text} ${Number.isNaN(value) ? "—" : sign(value)}`;
      });
      scale.querySelector(".at").textContent = `${JSON.stringify(event.target.textContent)}: ${told.join(", ")}`;
    });
  }
  browser.querySelector(".controls").hidden = false;
  show();
}
"""
