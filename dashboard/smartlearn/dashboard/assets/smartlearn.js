// Clientside callbacks of the shell: address, colour scheme, refresh, navigation, the socket and its pushes.
(function () {
  "use strict";
  const noUpdate = () => window.dash_clientside.no_update;
  const values = (data) => (Array.isArray(data) ? data : data ? [data] : []);

  // Before anything is drawn: a page that was left dark opens dark.
  try {
    const stored = JSON.parse(window.localStorage.getItem("_dash_persistence.dark.checked.true") || "[false]");
    document.documentElement.dataset.mantineColorScheme = stored[0] ? "dark" : "light";
  } catch {
    document.documentElement.dataset.mantineColorScheme = "light";
  }

  // ---------------------------------------------------------------- the address

  // The controls' values as the address has them: defaults and empty ones are left out.
  function asked(given, ids, page) {
    const found = {};
    const byName = Object.fromEntries(ids.map((id, index) => [id.name, given[index]]));
    const custom = byName.range === "custom";
    for (const [name, value] of Object.entries(byName)) {
      if (name === "range" && custom) continue;
      if ((name === "start" || name === "stop") && !custom) continue;
      const text = Array.isArray(value) ? value.join(",") : value == null ? "" : String(value);
      if (text && page.defaults[name] !== text) found[name] = text.replace(/^(\d{4}-\d\d-\d\d) /, "$1T");
    }
    return { found, custom };
  }

  // Stores and pickers stand on one page at a time: patterns give lists of one, or of none between two pages.
  function view(given, ids, pages, views, pickers) {
    if (!pages.length || !ids.length) return [views.map(noUpdate), pickers.map(noUpdate)];
    const page = pages[0];
    const before = views[0];
    const { found, custom } = asked(given, ids, page);
    // "From … to …" was just picked: nothing changes until a time is given.
    if (custom && !found.start && !found.stop) return [[noUpdate()], pickers.map(() => false)];
    const same = JSON.stringify(Object.entries(found).sort()) === JSON.stringify(Object.entries(before || {}).sort());
    const query = new URLSearchParams(found).toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
    const address = window.location.pathname + (query ? "?" + query : "");
    if (!same && address !== window.location.pathname + window.location.search) {
      window.history.replaceState(window.history.state, "", address);
    }
    return [[same ? noUpdate() : found], pickers.map(() => !custom)];
  }

  // A page shows the details of a node while it shows one, and what compares nodes otherwise.
  function extent(views, pages) {
    return views.map((asked, index) => {
      const node = (asked || {}).node || "";
      const one = node ? !node.includes(",") : Boolean(pages[index] && pages[index].alone);
      return `page ${one ? "one-node" : "fleet"}`;
    });
  }

  function choose(click) {
    const point = click && click.points && click.points[0];
    if (!point) return noUpdate();
    const data = Array.isArray(point.customdata) ? point.customdata[0] : point.customdata;
    const name = data != null ? data : point.y;
    return name == null ? noUpdate() : [String(name)];
  }

  // A zoom along x as "<axis>:<low>..<high>"; a double click, which shows all, as nothing.
  function zoom(moved, figure) {
    if (!moved) return noUpdate();
    if (moved["xaxis.autorange"]) return "";
    const range = moved["xaxis.range"] || [moved["xaxis.range[0]"], moved["xaxis.range[1]"]];
    const axis = figure && figure.layout && figure.layout.meta && figure.layout.meta.axis;
    if (!axis || range.some((end) => end == null)) return noUpdate();
    const ends = range.map((end) => (typeof end === "number" ? String(Number(end.toPrecision(7))) : String(end).slice(0, 19).replace(" ", "T")));
    return `${axis}:${ends[0]}..${ends[1]}`;
  }

  // ---------------------------------------------------------------- the shell

  function scheme(dark, templates, graphs) {
    const name = dark ? "dark" : "light";
    document.documentElement.dataset.agThemeMode = name;
    document.documentElement.style.colorScheme = name;
    const template = templates["smartlearn_" + name];
    const patches = graphs.map(() => new window.dash_clientside.Patch().assign(["layout", "template"], template).build());
    return [name, patches];
  }

  // Nobody looks at a hidden tab: it asks again when it is shown. While the server is away nothing is asked.
  function beat(count) {
    return document.hidden || !window.smartlearnReachable() ? noUpdate() : count;
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && window.dash_clientside && window.dash_clientside.set_props) {
      window.dash_clientside.set_props("beat", { data: "shown " + Date.now() });
    }
  });

  function interval(views, pages) {
    if (!pages.length) return [noUpdate(), noUpdate()];
    const seconds = Number((views[0] || {}).refresh || pages[0].defaults.refresh);
    if (!Number.isFinite(seconds) || seconds <= 0) return [noUpdate(), true];
    return [seconds * 1000, false];
  }

  function navigate(pathname, views, ids) {
    const asked = views[0];
    const kept = {};
    for (const name of ["range", "start", "stop", "node"]) if (asked && asked[name]) kept[name] = asked[name];
    const query = new URLSearchParams(kept).toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
    const here = pathname === "/" ? "/system" : pathname;
    return [ids.map((id) => id.path === here), ids.map((id) => id.path + (query ? "?" + query : ""))];
  }

  function menu(opened, pathname, navbar) {
    const moved = window.dash_clientside.callback_context.triggered.some((one) => one.prop_id.startsWith("_pages"));
    const open = Boolean(opened) && !moved;
    return [{ ...navbar, collapsed: { mobile: !open } }, open];
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    smartlearn: Object.assign((window.dash_clientside || {}).smartlearn || {}, {
      view, choose, extent, zoom, scheme, beat, interval, navigate, menu, values,
    }),
  });
})();
