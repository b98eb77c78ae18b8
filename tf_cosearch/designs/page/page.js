"use strict";
// Values are put into the page as text, never as markup: names and messages
// are whatever a user's model, or an error of it, says.

const run = JSON.parse(document.getElementById("run").textContent);
const byId = (id) => document.getElementById(id);
const columns = new Map(run.columns.map((column, at) => [column.name, { ...column, at }]));
const FINISHED = ["COMPLETED", "KNOWN"];
const FIRST_ROWS = 100;
const MUCH = 0.03; // share of the time from which on a layer is worth advice
const CONFIG = { responsive: true, displayModeBar: false };
const FONT = { family: "system-ui, sans-serif", size: 12 };
const COLORS = {
  compute: "#1f77b4", pe_memory: "#2ca02c", interconnect: "#ff7f0e",
  dram: "#d62728", cpu: "#7f7f7f",
};
const MORE_COLORS = ["#9467bd", "#8c564b", "#e377c2"];
const ROOF_COLORS = ["#59616d", ...MORE_COLORS];

// Reading rows.

const value = (row, name) => (columns.has(name) ? row[columns.get(name).at] : null) ?? null;
const scaled = (row, name) => {
  const number = value(row, name);
  return typeof number === "number" ? number * columns.get(name).scale : number;
};
const isFinished = (row) => FINISHED.includes(value(row, "status"));
const isWithin = (row) => value(row, "feasible") !== "False";
const trials = new Map(run.rows.map((row) => [value(row, "trial_id"), row]));

function shown(number) {
  if (typeof number !== "number") return number === null ? "" : String(number);
  if (Number.isInteger(number) && Math.abs(number) < 1e6) return String(number);
  return String(Number(number.toPrecision(4)));
}

function engineering(number, unit) {
  for (const [factor, prefix] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""],
    [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"]]) {
    if (Math.abs(number) >= factor) return `${shown(Number((number / factor).toPrecision(3)))} ${prefix}${unit}`;
  }
  return `${shown(Number(number.toPrecision(3)))} ${unit}`;
}

// Plotly reads some markup in texts.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function element(tag, text, style) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (style) made.className = style;
  return made;
}

function pairs(told) {
  const table = element("table");
  for (const [part, said] of told) {
    const row = table.insertRow();
    const cell = element("td", undefined, "said");
    cell.append(...[said].flat());
    row.append(element("td", part, "part"), cell);
  }
  return table;
}

// What is remembered in the address: the trial and the axes.

const place = new URLSearchParams(location.hash.slice(1));
function remember(name, said) {
  place.set(name, said);
  history.replaceState(null, "", `#${place}`);
}

// The designs.

const axes = { x: "latency_ms", y: run.accuracy, color: "area_mm2" };
const measured = run.columns.filter(
  (column) => column.number && column.kind !== "time" && columns.has(column.name));
let visible = run.rows;
let selected = null;

function prepareAxes() {
  for (const axis of Object.keys(axes)) {
    const select = byId(axis);
    for (const kind of ["metric", "about", "hyperparameter"]) {
      const group = element("optgroup");
      group.label = { metric: "metrics", about: "search", hyperparameter: "hyperparameters" }[kind];
      for (const column of measured.filter((each) => each.kind === kind)) {
        const option = element("option", column.label);
        option.value = column.name;
        group.append(option);
      }
      if (group.children.length) select.append(group);
    }
    const names = measured.map((column) => column.name);
    const wanted = [place.get(axis), axes[axis], ...run.compared, ...names];
    axes[axis] = wanted.find((name) => names.includes(name)) ?? "";
    select.value = axes[axis];
    select.addEventListener("change", () => {
      axes[axis] = select.value;
      remember(axis, select.value);
      drawFront();
    });
  }
}

function tick(numbers) {
  const least = Math.min(...numbers), most = Math.max(...numbers);
  return least > 0 && most > 10 * least ? "log" : "linear";
}

function axis(name, numbers) {
  return {
    title: { text: plain(columns.get(name)?.label ?? "") }, type: tick(numbers),
    gridcolor: "#e6e9ee", zerolinecolor: "#e6e9ee", automargin: true,
    ...(tick(numbers) === "log" ? { dtick: "D2", tickformat: "~g" } : {}),
  };
}

// Corners of the front: no design on its better side is as good the other way.
function frontOf(rows) {
  const sign = (name) => (columns.get(name).less ? 1 : -1);
  const points = rows.filter(isWithin).map((row) => [
    sign(axes.x) * scaled(row, axes.x), sign(axes.y) * scaled(row, axes.y)]);
  points.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const corners = [];
  for (const [x, y] of points) {
    if (!corners.length || y < corners.at(-1)[1]) corners.push([x, y]);
  }
  return corners.map(([x, y]) => [sign(axes.x) * x, sign(axes.y) * y]);
}

function hover(row) {
  const names = [run.accuracy, ...run.compared, axes.x, axes.y, axes.color];
  const lines = [...new Set(names)].filter((name) => columns.has(name)).map(
    (name) => `${columns.get(name).label}: ${shown(scaled(row, name))}`);
  const mark = isWithin(row) ? "" : ", over the budgets";
  return [`<b>trial ${plain(value(row, "trial_id"))}</b>${mark}`, ...lines.map(plain)].join("<br>");
}

function drawFront() {
  const rows = visible.filter((row) => isFinished(row)
    && [axes.x, axes.y].every((name) => typeof value(row, name) === "number"));
  const ids = rows.map((row) => value(row, "trial_id"));
  const xs = rows.map((row) => scaled(row, axes.x));
  const ys = rows.map((row) => scaled(row, axes.y));
  const corners = frontOf(rows);
  const at = (id) => rows.filter((row) => value(row, "trial_id") === id);
  const ring = (id, name, color, size) => ({
    x: at(id).map((row) => scaled(row, axes.x)), y: at(id).map((row) => scaled(row, axes.y)),
    mode: "markers", name, hoverinfo: "skip",
    marker: { size, color: "rgba(0,0,0,0)", line: { color, width: 2 } },
  });
  const traces = [
    { x: corners.map(([x]) => x), y: corners.map(([, y]) => y), mode: "lines", name: "front",
      line: { shape: columns.get(axes.x)?.less ? "hv" : "vh", color: "#59616d", width: 1.5 },
      hoverinfo: "skip" },
    { x: xs, y: ys, mode: "markers", name: "designs", customdata: ids,
      text: rows.map(hover), hovertemplate: "%{text}<extra></extra>",
      marker: { size: 10, color: rows.map((row) => scaled(row, axes.color)),
        colorscale: "Viridis", showscale: true, line: { color: "white", width: 0.7 },
        symbol: rows.map((row) => (isWithin(row) ? "circle" : "x")),
        colorbar: { title: { text: plain(columns.get(axes.color)?.label ?? ""), side: "right" },
          thickness: 14 } } },
  ];
  if (run.chosen !== null) traces.push(ring(run.chosen, `best within budgets (trial ${plain(run.chosen)})`, "#b3123f", 19));
  if (selected !== null && selected !== run.chosen) traces.push(ring(selected, "shown", "#1d2430", 17));
  const line = (name, way) => (name in run.budgets && columns.has(name) ? [{
    type: "line", line: { color: "#b3123f", dash: "dash", width: 1 },
    ...(way === "x"
      ? { yref: "paper", y0: 0, y1: 1, x0: run.budgets[name] * columns.get(name).scale, x1: run.budgets[name] * columns.get(name).scale }
      : { xref: "paper", x0: 0, x1: 1, y0: run.budgets[name] * columns.get(name).scale, y1: run.budgets[name] * columns.get(name).scale }),
  }] : []);
  const layout = {
    xaxis: axis(axes.x, xs), yaxis: axis(axes.y, ys), font: FONT, hovermode: "closest",
    shapes: [...line(axes.x, "x"), ...line(axes.y, "y")],
    margin: { l: 60, r: 10, t: 10, b: 50 }, legend: { orientation: "h", y: -0.24 },
    annotations: rows.length ? [] : [{ text: "no finished trial to draw", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }],
  };
  Plotly.react("front", traces, layout, CONFIG);
}

// One design.

function select(id) {
  selected = id;
  remember("trial", id);
  drawFront();
  showDetails(id);
  for (const row of byId("table").tBodies[0]?.rows ?? []) {
    row.classList.toggle("selected", row.dataset.trial === id);
  }
}

function section(title, ...inside) {
  const made = element("div");
  made.append(element("h3", title), ...inside);
  return made;
}

function showDetails(id) {
  const box = byId("details");
  const row = trials.get(id), details = run.details[id];
  const title = element("h2", `Trial ${id}`);
  box.replaceChildren(title);
  if (!row) return;
  const told = [["status", value(row, "status")]];
  const names = [run.accuracy, ...run.compared, "reward"];
  for (const name of names.filter((each) => value(row, each) !== null)) {
    told.push([columns.get(name).label, shown(scaled(row, name))]);
  }
  if (id in run.origins) told.push(["proposed", origin(...run.origins[id])]);
  if (id in run.failures) told.push(["failed", run.failures[id]]);
  if (run.front.includes(id)) told.push(["front", "no other design beats it in all of these"]);
  if (id === run.chosen) told.push(["chosen", "the highest reward within the budgets"]);
  box.append(pairs(told));
  const hyperparameters = run.columns.filter((c) => c.kind === "hyperparameter" && value(row, c.name) !== null)
    .map((column) => [column.name, shown(value(row, column.name))]);
  if (details?.longer) box.append(longer(details.longer));
  if (details?.network) {
    box.append(section("Network", pairs(details.network)));
    box.append(section("Accelerator", pairs(details.accelerator)));
    box.append(section("What the cost model says", pairs(details.costs)));
    if (details.stages) box.append(section("Stages, a chip each", pairs(details.stages)));
  } else if (hyperparameters.length) {
    box.append(section("Hyperparameters", pairs(hyperparameters)));
  }
  if (details?.unknown) box.append(element("p", details.unknown, "hint"));
  if (details?.curves?.length) drawCurves(box, details.curves);
  if (details?.layers) {
    drawRoofline(box, details);
    box.append(section("Layers", layerTable(details.layers)));
    if (details.layers.advice) box.append(section("What would help the slowest layers", advice(details.layers)));
  }
  if (!details) {
    const why = isFinished(row) ? "Layers and curves are kept of the best trials only." : "";
    box.append(element("p", why, "hint"));
  }
}

// In words, with a link to each trial that a design was made of.
function origin(words, parents) {
  const links = parents.map((id) => {
    const link = element("a", `trial ${id}`);
    link.href = `#trial=${id}`;
    link.addEventListener("click", (event) => { event.preventDefault(); select(id); });
    return link;
  });
  return [words, ...links.flatMap((link, at) => [at ? " and " : " from ", link])];
}

function longer(told) {
  if (!told.command) return section("Train it longer", element("p", told.words));
  return section("Train it longer", element("code", told.command));
}

const sumOf = (numbers) => numbers.reduce((sum, each) => sum + each, 0) || 1;

function advice(layers) {
  const share = (at) => layers.latency_ms[at] / sumOf(layers.latency_ms);
  const slowest = [...layers.name.keys()].filter((at) => share(at) >= MUCH);
  slowest.sort((a, b) => share(b) - share(a));
  return pairs(slowest.map((at) => [
    `${layers.name[at]} (${(100 * share(at)).toFixed(0)} %)`, layers.advice[at]]));
}

function layerTable(layers) {
  const total = sumOf(layers.latency_ms);
  const table = element("table"), head = table.createTHead().insertRow();
  const labels = { ...(layers.chip ? { chip: "chip" } : {}), name: "layer", op: "operation", bound: "limited by", latency_ms: "time",
    energy_mj: "energy", utilization: "utilization", macs: "MACs", params: "parameters" };
  const texts = new Set(["name", "op", "bound"]);
  for (const [name, label] of Object.entries(labels)) {
    head.append(element("th", label, texts.has(name) ? "" : "number"));
  }
  const format = {
    latency_ms: (number) => engineering(number / 1e3, "s"),
    energy_mj: (number) => engineering(number / 1e3, "J"),
    utilization: (number) => `${(100 * number).toFixed(1)} %`,
    macs: (number) => engineering(number, ""), params: (number) => engineering(number, ""),
    bound: (text) => text.replaceAll("_", " "),
  };
  const body = table.createTBody();
  layers.name.forEach((_, at) => {
    const row = body.insertRow();
    for (const name of Object.keys(labels)) {
      const said = layers[name][at];
      const cell = element("td", format[name] && said !== 0 ? format[name](said) : said,
        texts.has(name) ? "" : "number");
      if (name === "latency_ms") {
        cell.classList.add("share");
        cell.style.setProperty("--share", `${(100 * said) / total}%`);
      }
      row.append(cell);
    }
  });
  const scroll = element("div", undefined, "scroll");
  scroll.append(table);
  return scroll;
}

function drawCurves(box, curves) {
  const names = [...new Set(curves.flatMap((curve) => Object.keys(curve.history)))];
  const kinds = [...new Set(names.map((name) => name.replace(/^val_/, "")))];
  if (!kinds.length) return;
  const choice = element("select"), plot = element("div", undefined, "plot small");
  for (const kind of kinds) choice.append(element("option", kind));
  choice.value = kinds.includes("accuracy") ? "accuracy" : kinds[0];
  const draw = () => {
    const traces = [], palette = ["#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2"];
    curves.forEach((curve, number) => {
      for (const [prefix, dash] of [["", "dot"], ["val_", "solid"]]) {
        const ys = curve.history[`${prefix}${choice.value}`];
        if (!ys) continue;
        const of = curves.length > 1 ? `, training ${number}` : "";
        traces.push({ x: ys.map((_, epoch) => epoch + 1), y: ys, mode: "lines+markers",
          name: `${prefix ? "validation" : "training"}${of}`,
          line: { dash, color: palette[number % palette.length] } });
      }
    });
    const ends = [...new Set(curves.filter((curve) => {
      const epochs = Math.max(...Object.values(curve.history).map((ys) => ys.length));
      return curve.float_epochs && curve.float_epochs < epochs;
    }).map((curve) => curve.float_epochs))];
    Plotly.react(plot, traces, {
      font: FONT, margin: { l: 60, r: 10, t: 20, b: 40 }, legend: { orientation: "h", y: -0.3 },
      xaxis: { title: { text: "epoch" }, gridcolor: "#e6e9ee", tickformat: "d",
        ...(Math.max(...traces.map((trace) => trace.x.length)) < 12 ? { dtick: 1 } : {}) },
      yaxis: { title: { text: plain(choice.value) }, gridcolor: "#e6e9ee", automargin: true },
      shapes: ends.map((end) => ({ type: "line", yref: "paper", y0: 0, y1: 1, x0: end + 0.5, x1: end + 0.5,
        line: { color: "#8a93a0", dash: "dash", width: 1 } })),
      annotations: ends.map((end) => ({ x: end + 0.5, yref: "paper", y: 0.02, yanchor: "bottom",
        xanchor: "right", showarrow: false, text: "then quantization-aware" })),
    }, CONFIG);
  };
  choice.addEventListener("change", draw);
  const label = element("p", undefined, "controls");
  label.append(choice);
  box.append(section("Learning curves", label, plot));
  draw();
}

function drawRoofline(box, { layers, roofs }) {
  const plot = element("div", undefined, "plot");
  const hint = "A point is a layer, the larger the more of the time it takes. "
    + "Bits are of its inputs, outputs and weights. Those above the DRAM roof find on the chip what they read.";
  box.append(section("Roofline", element("p", hint, "hint"), plot));
  const total = sumOf(layers.latency_ms);
  const there = layers.name.map((_, at) => at).filter((at) => layers.achieved_tops[at] > 0);
  if (!there.length) {
    plot.replaceWith(element("p", "No layer of it computes anything.", "hint"));
    return;
  }
  const bounds = [...new Set(there.map((at) => layers.bound[at]))];
  const others = bounds.filter((bound) => !(bound in COLORS));
  const color = (bound) => COLORS[bound] ?? MORE_COLORS[others.indexOf(bound) % MORE_COLORS.length];
  const several = Object.keys(roofs).length > 1;
  const slopes = Object.entries(roofs).flatMap(([chip, known], number) =>
    Object.entries(known).filter(([name]) => name.endsWith("_tbits")).map(([name, slope], at) => (
      { slope, peak: known.peak_tops, dash: at ? "dash" : "solid", color: ROOF_COLORS[number % ROOF_COLORS.length],
        name: (several ? `${chip}: ` : "") + name.replace("_tbits", "").replaceAll("_", " ") })));
  const across = [...there.map((at) => layers.ops_per_bit[at]), ...slopes.map(({ peak, slope }) => peak / slope)];
  const least = Math.min(...across) / 2, most = Math.max(...across) * 3;
  const traces = slopes.map(({ slope, peak, dash, color, name }) => (
    { x: [least, peak / slope, most], y: [least * slope, peak, peak], mode: "lines",
      name: `${name} ${engineering(slope * 1e12, "bit/s")}`,
      line: { color, dash, width: 1.5 }, hoverinfo: "name" }));
  for (const bound of bounds) {
    const at = there.filter((each) => layers.bound[each] === bound);
    const share = at.reduce((sum, each) => sum + layers.latency_ms[each], 0) / total;
    traces.push({
      x: at.map((each) => layers.ops_per_bit[each]), y: at.map((each) => layers.achieved_tops[each]),
      mode: "markers", name: `limited by ${bound.replaceAll("_", " ")} (${(100 * share).toFixed(0)} % of the time)`,
      marker: { color: color(bound), line: { color: "white", width: 0.7 }, opacity: 0.8,
        size: at.map((each) => 7 + 45 * Math.sqrt(layers.latency_ms[each] / total)) },
      text: at.map((each) => [`<b>${plain(layers.name[each])}</b>`, plain(layers.op[each]),
        ...(layers.chip ? [`chip ${layers.chip[each]}`] : []),
        `${(100 * layers.latency_ms[each] / total).toFixed(1)} % of the time`,
        `${(100 * layers.utilization[each]).toFixed(1)} % of the peak`].join("<br>")),
      hovertemplate: "%{text}<extra></extra>",
    });
  }
  const logarithmic = { type: "log", gridcolor: "#e6e9ee", automargin: true, exponentformat: "power", dtick: 1 };
  Plotly.newPlot(plot, traces, {
    font: FONT, margin: { l: 60, r: 10, t: 10, b: 50 }, legend: { orientation: "h", y: -0.24 },
    hovermode: "closest",
    xaxis: { ...logarithmic, title: { text: "operations a bit" } },
    yaxis: { ...logarithmic, title: { text: "tera-operations a second" } },
  }, CONFIG);
}

// The table.

let sorting = { name: "trial_id", down: false };
let rowsShown = FIRST_ROWS;

function tableColumns() {
  const wanted = { about: true, metric: true, time: byId("times").checked, hyperparameter: byId("hyperparameters").checked };
  return run.columns.filter((column) => wanted[column.kind]);
}

// Each term must hold: a comparison of a column in the unit shown, or a text.
function matches(row, term) {
  const found = term.match(/^(.+?)(<=|>=|=|<|>)(.*)$/);
  if (found && columns.has(found[1])) {
    const said = scaled(row, found[1]), limit = Number(found[3]);
    if (found[2] === "=") return typeof said === "number" ? said === limit : String(said ?? "") === found[3];
    if (typeof said !== "number") return false;
    return { "<": said < limit, "<=": said <= limit, ">": said > limit, ">=": said >= limit }[found[2]];
  }
  return row.some((said) => said !== null && String(said).toLowerCase().includes(term.toLowerCase()));
}

function compare(a, b) {
  const [one, other] = [a, b].map((row) => value(row, sorting.name));
  if (one === null || other === null) return (one === null) - (other === null);
  const way = sorting.down ? -1 : 1;
  if (typeof one === "number" && typeof other === "number") return way * (one - other);
  return way * String(one).localeCompare(String(other), "en", { numeric: true });
}

function drawTable() {
  const table = byId("table"), told = tableColumns();
  table.replaceChildren();
  const head = table.createTHead().insertRow();
  for (const column of told) {
    const arrow = column.name === sorting.name ? (sorting.down ? " ↓" : " ↑") : "";
    const cell = element("th", `${column.label}${arrow}`, column.number ? "number" : "");
    cell.title = column.name;
    cell.addEventListener("click", () => {
      const again = sorting.name === column.name;
      sorting = { name: column.name, down: again ? !sorting.down : column.number && !column.less };
      drawTable();
    });
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of [...visible].sort(compare).slice(0, rowsShown)) {
    const line = body.insertRow(), id = value(row, "trial_id");
    line.dataset.trial = id;
    line.classList.toggle("selected", id === selected);
    line.classList.toggle("failed", id in run.failures);
    if (id in run.failures) line.title = run.failures[id];
    for (const column of told) {
      line.append(element("td", shown(scaled(row, column.name)), column.number ? "number" : ""));
    }
    line.addEventListener("click", () => select(id));
  }
  byId("count").textContent = visible.length === run.rows.length
    ? `${run.rows.length} trials` : `${visible.length} of ${run.rows.length} trials`;
  byId("more").hidden = visible.length <= rowsShown;
  byId("more").textContent = `Show all ${visible.length}`;
}

function filter() {
  const terms = byId("filter").value.split(/\s+/).filter(Boolean);
  visible = run.rows.filter((row) => terms.every((term) => matches(row, term)));
  drawTable();
  drawFront();
}

// The rest.

function drawRest() {
  byId("name").textContent = run.name;
  byId("told").textContent = run.told;
  byId("training").append(...run.training.map((line) => element("li", line)));
  byId("notes").append(...run.notes.map((note) => element("li", `${note}.`)));
  const failures = Object.entries(run.failures);
  failures.sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
  byId("failures").hidden = !failures.length;
  byId("failures").querySelector("table").replaceWith(
    pairs(failures.map(([id, why]) => [`trial ${id}`, why])));
  for (const [title, told] of run.settings) {
    const group = element("details");
    group.append(element("summary", title), pairs(told));
    group.open = title === "Search";
    byId("settings").append(group);
  }
}

drawRest();
prepareAxes();
drawTable();
for (const id of ["hyperparameters", "times"]) byId(id).addEventListener("change", drawTable);
byId("filter").addEventListener("input", filter);
byId("more").addEventListener("click", () => { rowsShown = Infinity; drawTable(); });
const first = [place.get("trial"), run.chosen, ...run.front, ...trials.keys()];
select(first.find((id) => trials.has(id)));
byId("front").on("plotly_click", ({ points }) => {
  if (points[0].customdata !== undefined) select(points[0].customdata);
});
if (run.reload_seconds !== null) {
  setInterval(() => { if (!document.hidden) location.reload(); }, 1000 * run.reload_seconds);
}
document.body.dataset.ready = "yes";
