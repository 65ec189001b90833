// The pushes of Real-time Metrics. A worker holds the socket (its errors stay out of the console, its timers run on in
// hidden tabs); each message goes to the store "live", whose callback paints figures and extends the strips.
(function () {
  "use strict";
  const noUpdate = () => window.dash_clientside.no_update;
  const state = { worker: null, url: null, open: false, heard: 0, since: 0, last: null, painted: 0, buffer: {}, drawn: {} };

  // ---------------------------------------------------------------- the socket

  const prefix = () => JSON.parse(document.getElementById("_dash-config").textContent).requests_pathname_prefix;

  function socket(pathname, views) {
    const asked = views[0];
    if (!String(pathname).endsWith("/realtime")) {
      stop();
      return noUpdate();
    }
    const scheme = window.location.protocol === "https:" ? "wss:" : "ws:";
    const nodes = asked && asked.node ? "?node=" + encodeURIComponent(asked.node) : "";
    const url = `${scheme}//${window.location.host}${prefix()}live${nodes}`;
    if (state.url === url && state.worker) return noUpdate();
    stop();
    Object.assign(state, { url, since: Date.now(), heard: 0, last: null, buffer: {}, drawn: {} });
    state.worker = new Worker(`${prefix()}assets/worker/live.js`);
    state.worker.onmessage = (event) => received(event.data);
    state.worker.postMessage({ url });
    return noUpdate();
  }

  function stop() {
    if (!state.worker) return;
    state.worker.postMessage({ url: null });
    state.worker.terminate();
    Object.assign(state, { worker: null, url: null, open: false });
  }

  function received(message) {
    if ("open" in message) {
      if (!message.open && state.open) state.since = Date.now();
      state.open = message.open;
      return;
    }
    state.heard = Date.now();
    state.last = JSON.parse(message.text);
    // The server's clock against ours: ages are told by the server's.
    state.ahead = state.last.now / 1000 - Date.now();
    keep(state.last.nodes);
    window.dash_clientside.set_props("live", { data: state.last.now });
  }

  // ---------------------------------------------------------------- the strips

  function keep(nodes) {
    nodes.node.forEach((name, row) => {
      const rows = (state.buffer[name] = state.buffer[name] || []);
      rows.push(row_of(nodes, row));
      if (rows.length > 2000) rows.splice(0, rows.length - 2000);
    });
  }

  function row_of(nodes, row) {
    const found = { time: nodes.timestamp[row] / 1000 };
    for (const [name, column] of Object.entries(nodes)) if (name !== "node" && name !== "timestamp") found[name] = column[row];
    return found;
  }

  const stamp = (ms) => new Date(ms).toISOString().slice(0, 23);
  const plot = (metric) => {
    const card = document.getElementById(`card-live-${metric}`);
    return card && card.querySelector(".js-plotly-plot");
  };

  // One draw at a time: what comes meanwhile is drawn together by the next.
  function draw(settings) {
    if (state.drawing || document.hidden || !window.Plotly) return;
    const rows = state.buffer;
    state.buffer = {};
    const jobs = Object.keys(settings.metrics).map((metric) => extend(metric, rows, settings));
    state.drawing = true;
    Promise.all(jobs).catch(() => undefined).finally(() => (state.drawing = false));
  }

  async function extend(metric, rows, settings) {
    const graph = plot(metric);
    if (!graph || !graph.data) return;
    await add_new(graph, metric, rows, settings);
    const places = Object.fromEntries(graph.data.map((trace, index) => [trace.name, index]));
    const update = { x: [], y: [] };
    const indices = [];
    for (const [name, found] of Object.entries(rows)) {
      if (!(name in places)) continue;
      const trace = graph.data[places[name]];
      const last = trace.x.length ? Date.parse(trace.x[trace.x.length - 1] + "Z") : 0;
      const newer = found.filter((row) => row[metric] != null && row.time > last);
      if (!newer.length) continue;
      update.x.push(newer.map((row) => stamp(row.time)));
      update.y.push(newer.map((row) => Math.round(row[metric] * 1000) / 1000));
      indices.push(places[name]);
    }
    if (indices.length) await window.Plotly.extendTraces(graph, update, indices, 2000);
    if (!zoomed(graph)) {
      const now = Date.now() + (state.ahead || 0);
      await window.Plotly.relayout(graph, { "xaxis.range": [stamp(now - settings.window_ms), stamp(now)] });
      graph.smartlearnRange = graph.layout.xaxis.range.slice();
    }
  }

  // Who zooms in looks at the past: the view stays until they reset it.
  function zoomed(graph) {
    const range = graph.layout.xaxis.range;
    const ours = graph.smartlearnRange;
    if (graph.layout.xaxis.autorange) return false;
    return Boolean(ours && range && (String(range[0]) !== String(ours[0]) || String(range[1]) !== String(ours[1])));
  }

  async function add_new(graph, metric, rows, settings) {
    const known = new Set(graph.data.map((trace) => trace.name));
    const names = Object.keys(rows).filter((name) => !known.has(name) && rows[name].some((row) => row[metric] != null));
    const traces = names.sort().slice(0, Math.max(settings.most_lines - known.size, 0)).map((name, index) => ({
      x: [], y: [], name, mode: "lines", showlegend: true,
      line: { color: settings.series[(known.size + index) % settings.series.length], width: 1.8 },
      hovertemplate: `%{y:.3~r} ${settings.metrics[metric].unit}<extra>%{fullData.name}</extra>`,
    }));
    if (traces.length) await window.Plotly.addTraces(graph, traces);
  }

  // ---------------------------------------------------------------- figures and lists

  const part = (type, props, ...children) => ({
    type, namespace: "dash_html_components",
    props: { ...props, children: children.length === 1 ? children[0] : children },
  });
  const div = (className, ...children) => part("Div", { className }, ...children);
  const span = (className, ...children) => part("Span", { className }, ...children);

  function number(value) {
    return window.smartlearnNumber(value);
  }
  function shown(value, unit) {
    if (value == null) return ["–", ""];
    if (unit === "ms" && Math.abs(value) >= 1000) return [number(value / 1000), "s"];
    return [number(value), unit];
  }
  function ago(ms) {
    const seconds = Math.max(ms, 0) / 1000;
    if (seconds < 1.5) return "now";
    if (seconds < 90) return `${Math.round(seconds)} s ago`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
    return seconds < 172800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} d ago`;
  }
  function mark(settings, status, word) {
    return span(`status ${status}`, span("icon", settings.icons[status]), span("", word || settings.words[status]));
  }
  function stat(settings, label, value, unit, status, note) {
    return div(
      `stat ${status || ""}`.trim(),
      div("stat-label", label),
      div("stat-value", span("value", value), span("unit", unit)),
      div("stat-line", ...(status ? [mark(settings, status)] : []), span("note", note)),
    );
  }
  function level(settings, metric, value) {
    const levels = settings.levels[metric];
    if (value == null || !levels) return null;
    return value > levels[1] ? "critical" : value > levels[0] ? "warning" : "ok";
  }

  function figures(last, settings) {
    const now = Date.now() + (state.ahead || 0);
    const newest = last.newest ? now - last.newest / 1000 : null;
    const events = Object.values(last.rates).reduce((sum, rate) => sum + rate, 0);
    const waiting = Object.values(last.lag).reduce((sum, lag) => sum + lag, 0);
    const answering = Object.values(last.workers).filter(Boolean).length;
    const age = newest == null ? "never" : ago(newest);
    const [value, ...unit] = age.split(" ");
    const cards = [
      stat(settings, "Newest point", value, unit.join(" "), newest == null ? "unknown" : newest > 60000 ? "warning" : "ok",
        newest == null ? "nothing has come yet" : new Date(last.newest / 1000).toISOString().slice(11, 19) + " UTC"),
      stat(settings, "Nodes reporting", String(last.fleet.nodes), "", last.fleet.nodes ? "ok" : "unknown", "in the last minute"),
    ];
    for (const [metric, what] of Object.entries(settings.metrics)) {
      const found = last.fleet[metric];
      const [text, shownUnit] = shown(found && found.mean, what.unit);
      const high = found && found.nodes > 1 ? `${shown(found.high, what.unit).join(" ")} ${found.node}` : found ? found.node : "not measured";
      cards.push(stat(settings, what.title, text, shownUnit, found ? level(settings, metric, found.high) : "unknown", high));
    }
    cards.push(stat(settings, "Events", number(events), "/ s", answering ? "ok" : "critical",
      answering ? `${number(waiting)} waiting` : "no worker answers"));
    return cards;
  }

  function topics(last) {
    const names = Object.keys(last.counts).sort();
    if (!names.length) return message("No worker has spoken yet: smartlearn status says which run");
    const row = (cells, head) => part("Tr", {}, ...cells.map((cell, index) => part(head ? "Th" : "Td", { className: index ? "right" : "" }, cell)));
    const most = Math.max(...names.map((name) => last.rates[name] || 0), 1);
    return part("Table", { className: "live-table" },
      part("Thead", {}, row(["Topic", "events/s", "waiting", "late", "refused"], true)),
      part("Tbody", {}, ...names.map((name) => {
        const rate = last.rates[name] || 0;
        const counts = last.counts[name];
        return part("Tr", {},
          part("Td", {}, name.replace("smartlearn.", ""),
            part("Div", { className: "rate", style: { width: `${Math.round((100 * rate) / most)}%` } }, "")),
          ...[number(rate), number(last.lag[name] || 0), number(counts.late || 0), number(counts.dead || 0)]
            .map((cell) => part("Td", { className: "right" }, cell)));
      })));
  }

  function alerts(last, settings) {
    if (!last.alerts.length) return message("Nothing stands above its level");
    const now = Date.now() + (state.ahead || 0);
    return last.alerts.slice(0, 30).map((one) => {
      const rule = settings.rules[one.rule] || { title: one.rule, unit: "" };
      const value = shown(one.value, rule.unit).join(" ");
      return div("advice-line", mark(settings, one.state),
        div("advice-body", div("advice-title", `${rule.title} on ${one.node}`),
          div("advice-text", `${value}, level ${shown(one.threshold, rule.unit).join(" ")}`)),
        span("note", ago(now - one.at / 1000)));
    });
  }

  function advice(last, settings) {
    const byAction = new Map();
    for (const one of last.alerts) {
      const found = byAction.get(one.action) || { state: one.state, nodes: [], rule: one.rule };
      found.nodes.push(one.node);
      byAction.set(one.action, found);
    }
    if (!byAction.size) return message("All is well: nothing to do");
    return [...byAction].map(([action, found]) => {
      const nodes = [...new Set(found.nodes)];
      const rule = settings.rules[found.rule] || { title: found.rule };
      const where = nodes.slice(0, 3).join(", ") + (nodes.length > 3 ? ` and ${nodes.length - 3} more` : "");
      return div("advice-line", mark(settings, found.state),
        div("advice-body", div("advice-title", action), div("advice-text", `${rule.title} is high on ${where}`)));
    });
  }

  const message = (text) => div("message", span("big", "○"), part("P", {}, text));

  function link(settings, refresh) {
    if (refresh === "0") return mark(settings, "unknown", "Paused");
    if (state.heard && Date.now() - state.heard < 4000) return mark(settings, "ok", "Live");
    return mark(settings, "warning", `Not connected for ${Math.round((Date.now() - Math.max(state.heard, state.since)) / 1000)} s`);
  }

  function paint(pushed, second, asked, settings) {
    const same = [noUpdate(), noUpdate(), noUpdate(), noUpdate()];
    if (!settings) return [...same, noUpdate()];
    const refresh = (asked && asked.refresh) || "live";
    const status = link(settings, refresh);
    const due = refresh === "live" ? 0 : Number(refresh) * 1000 - 100;
    if (refresh === "0" || !state.last || Date.now() - state.painted < due) return [...same, status];
    state.painted = Date.now();
    draw(settings);
    return [figures(state.last, settings), topics(state.last), alerts(state.last, settings), advice(state.last, settings), status];
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    smartlearn: Object.assign((window.dash_clientside || {}).smartlearn || {}, { socket, paint }),
  });
})();
