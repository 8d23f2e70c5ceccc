// Draws the page from the JSON in it. Nothing is fetched; all text is set as text, never as HTML.
"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const isToken = /^var\((--[\w-]+)\)$/;
  const config = {
    responsive: true, displaylogo: false, showTips: false,
    showSendToCloud: false, plotlyServerURL: "",  // nothing leaves the page, not even by a click
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  };

  // A colour is written as "var(--name)" so that light and dark share one figure.
  function resolve(value, style) {
    if (typeof value === "string") {
      const token = isToken.exec(value);
      return token ? style.getPropertyValue(token[1]).trim() : value;
    }
    if (Array.isArray(value)) {
      return typeof value[0] === "number" ? value : value.map((item) => resolve(item, style));
    }
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, style)]));
    }
    return value;
  }

  function baseLayout(isNarrow) {
    const axis = {
      gridcolor: "var(--grid)", linecolor: "var(--line)", zerolinecolor: "var(--line)",
      automargin: true, tickfont: { size: isNarrow ? 10 : 12 },
    };
    return {
      axis,
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: "system-ui, -apple-system, Segoe UI, Roboto, Liberation Sans, Arial, sans-serif", size: 12, color: "var(--text)" },
        margin: { l: isNarrow ? 44 : 58, r: 12, t: 26, b: 34 },
        hovermode: "x unified",
        hoverlabel: { bgcolor: "var(--card)", bordercolor: "var(--line)", font: { color: "var(--text)" } },
        legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: "var(--muted)", activecolor: "var(--agent)" },
        dragmode: isNarrow ? false : "zoom",
      },
    };
  }

  function draw(id) {
    const figure = content.figures[id];
    const element = document.getElementById(id);
    const style = getComputedStyle(document.documentElement);
    const { axis, layout } = baseLayout(element.clientWidth < 560);
    const merged = { ...layout, ...figure.layout, uirevision: id };
    for (const name of Object.keys(merged)) {
      if (/^[xy]axis\d*$/.test(name)) merged[name] = { ...axis, ...merged[name] };
    }
    if (figure.scale) merged.yaxis = { ...merged.yaxis, type: figure.scale };
    if (figure.scale === "log") delete merged.yaxis.range;  // it would be read as exponents
    element.style.height = `${figure.layout.height}px`;
    return Plotly.react(element, resolve(figure.traces, style), resolve(merged, style), {
      ...config, displayModeBar: element.clientWidth < 560 ? false : "hover",
    });
  }

  function wireScale(button) {
    button.addEventListener("click", () => {
      const figure = content.figures[button.dataset.figure];
      figure.scale = button.dataset.scale;
      for (const other of button.parentElement.querySelectorAll("button[data-scale]")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      draw(button.dataset.figure);
    });
  }

  function formatTime(ms) {
    if (ms === null) return "";
    const text = new Date(ms).toISOString();
    return text.slice(0, 10) + " " + text.slice(11, ms % 60000 ? 19 : 16);
  }
  const number = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 7 });
  const minus = (text) => text.replace("-", "\u2212");
  const formats = {
    time: formatTime,
    num: (value) => (value === null ? "" : minus(number.format(value))),
    percent: (value) => (value === null ? "" : minus((value > 0 ? "+" : "") + (100 * value).toFixed(2) + " %")),
    text: (value) => (value === null ? "" : String(value)),
  };

  function wireTable(id) {
    const table = content.tables[id];
    const element = document.getElementById(id);
    const find = (role) => element.querySelector(`[data-role="${role}"]`);
    const body = find("rows"), count = find("count"), search = find("search"), filter = find("filter");
    const shown = table.columns.map((column) => formats[column.format] || formats.text);
    const texts = table.rows.map((row) => row.map((v, i) => shown[i](v)).join("\u0001").toLowerCase());
    let page = 0;

    function cell(row, i) {
      const column = table.columns[i];
      const td = document.createElement("td");
      td.textContent = shown[i](row[i]);
      td.className = column.format === "percent" ? "num" : column.format;
      if (column.signed && row[i]) td.classList.add(row[i] > 0 ? "good" : "bad");
      return td;
    }

    function update() {
      const wanted = search.value.trim().toLowerCase();
      const kind = filter ? filter.value : "";
      const place = table.columns.findIndex((column) => column.name === table.filter_by);
      const hits = [];
      table.rows.forEach((row, i) => {
        if ((!wanted || texts[i].includes(wanted)) && (!kind || row[place] === kind)) hits.push(row);
      });
      const size = table.page_size;
      const pages = Math.max(1, Math.ceil(hits.length / size));
      page = Math.min(Math.max(page, 0), pages - 1);
      body.replaceChildren(...hits.slice(page * size, (page + 1) * size).map((row) => {
        const tr = document.createElement("tr");
        tr.append(...row.map((_, i) => cell(row, i)));
        return tr;
      }));
      const first = hits.length ? page * size + 1 : 0;
      count.textContent = `${first}–${Math.min((page + 1) * size, hits.length)} of ${hits.length}`;
      find("back").disabled = page === 0;
      find("next").disabled = page >= pages - 1;
    }

    search.addEventListener("input", () => { page = 0; update(); });
    if (filter) filter.addEventListener("change", () => { page = 0; update(); });
    find("back").addEventListener("click", () => { page -= 1; update(); });
    find("next").addEventListener("click", () => { page += 1; update(); });
    update();
  }

  Object.keys(content.tables).forEach(wireTable);
  document.querySelectorAll("button[data-scale]").forEach(wireScale);
  const drawAll = () => Promise.all(Object.keys(content.figures).map(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll().then(() => { document.documentElement.dataset.drawn = "yes"; });
})();
