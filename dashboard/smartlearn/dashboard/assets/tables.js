// How cells of tables show their values. Named functions: the grid evaluates no text.
(function () {
  "use strict";
  const icons = { ok: "✓", warning: "▲", critical: "✕", unknown: "○" };
  const words = { ok: "OK", warning: "Warning", critical: "Critical", unknown: "No data" };

  function number(value) {
    if (value == null || Number.isNaN(value)) return "–";
    for (const [size, prefix] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
      if (Math.abs(value) >= size) return Number((value / size).toPrecision(3)) + prefix;
    }
    return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(2) : String(Number(Number(value).toPrecision(3)));
  }
  window.smartlearnNumber = number;
  window.smartlearnStatus = { icons, words };

  const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  functions.smartlearnNumber = number;
  functions.smartlearnPercent = (value) => (value == null ? "–" : number(100 * value) + " %");
  functions.smartlearnInteger = (value) => (value == null ? "–" : Math.round(value).toLocaleString("en"));
  functions.smartlearnDuration = (seconds) => {
    if (seconds == null) return "–";
    const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
    const first = Math.max(0, units.findIndex(([, size]) => seconds >= size));
    const index = seconds < 1 ? 3 : first;
    const [unit, size] = units[index];
    if (index === 3) return `${Number(seconds.toPrecision(2))} s`;
    const [finer, part] = units[index + 1];
    const rest = Math.floor((seconds % size) / part);
    return `${Math.floor(seconds / size)} ${unit}` + (rest ? ` ${rest} ${finer}` : "");
  };
  functions.smartlearnTime = (value) =>
    value == null ? "–" : new Date(value / 1e6).toISOString().slice(0, 19).replace("T", " ") + " UTC";

  const element = (...arguments_) => window.React.createElement(...arguments_);
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  cells.SmartlearnStatus = ({ value }) =>
    element("span", { className: `status ${value}` }, element("span", { className: "icon" }, icons[value] || "○"), words[value] || value || "–");
  cells.SmartlearnBar = ({ value, data }) =>
    value == null
      ? "–"
      : element("span", { className: "bar-cell" },
          element("span", { className: "bar" }, element("span", { className: `fill ${data.status || ""}`, style: { width: `${Math.max(0, Math.min(100, value))}%` } })),
          element("span", { className: "bar-value" }, Math.round(value)));
  cells.SmartlearnSpark = ({ value, data }) => {
    const finite = (value || []).filter((one) => Number.isFinite(one));
    if (finite.length < 2) return "–";
    const low = Math.min(...finite);
    const scale = 20 / (Math.max(...finite) - low || 1);
    const points = finite.map((one, index) => `${((index * 100) / (finite.length - 1)).toFixed(1)},${(22 - (one - low) * scale).toFixed(1)}`);
    return element("svg", { className: "spark-cell", viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img", "aria-label": `from ${number(finite[0])} to ${number(finite[finite.length - 1])}` },
      element("polyline", { points: points.join(" "), fill: "none", stroke: data.shown || "var(--muted)", strokeWidth: 1.5, vectorEffect: "non-scaling-stroke" }));
  };
  // Whether a run is drawn, in its colour. A tick adds it to those that are drawn, or takes it away.
  cells.SmartlearnShown = ({ value, data, api }) => {
    const toggle = (event) => {
      const drawn = [];
      api.forEachNode((node) => node.data.shown && drawn.push([node.data.place, node.data.run]));
      const names = drawn.sort((one, other) => one[0] - other[0]).map(([, run]) => run).filter((run) => run !== data.run);
      window.dash_clientside.set_props({ type: "filter", name: "run" }, { value: event.target.checked ? [...names, data.run] : names });
    };
    return element("input", { type: "checkbox", className: "shown-cell", checked: Boolean(value), onChange: toggle, style: { accentColor: value || undefined }, "aria-label": `Draw ${data.run}` });
  };
  cells.SmartlearnLink = ({ value, colDef }) => {
    const name = colDef.field;
    const choose = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      window.dash_clientside.set_props({ type: "filter", name }, { value: [value] });
    };
    return element("a", { href: `?${name}=${encodeURIComponent(value)}`, onClick: choose }, value);
  };
})();
