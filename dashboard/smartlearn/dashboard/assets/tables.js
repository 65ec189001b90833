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
