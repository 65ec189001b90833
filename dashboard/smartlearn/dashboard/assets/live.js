// Pushes. A worker holds the socket: its errors stay out of the console, its timers run on in hidden tabs. On every page
// it tells the state of the system; on Real-time Metrics each message also goes to the store "live", whose callback
// paints figures and extends the strips.
(function () {
  "use strict";
  const STEP_MS = 5000;
  const STORED_MS = 2000;
  const noUpdate = () => window.dash_clientside.no_update;
  const state = { worker: null, url: null, open: false, heard: 0, since: 0, last: null, painted: 0, buffer: {}, rest: 0 };

  // ---------------------------------------------------------------- the socket

  const prefix = () => JSON.parse(document.getElementById("_dash-config").textContent).requests_pathname_prefix;

  function socket(pathname, views) {
    const live = String(pathname).endsWith("/realtime");
    const scheme = window.location.protocol === "https:" ? "wss:" : "ws:";
    const node = live && views[0] && views[0].node ? "node=" + encodeURIComponent(views[0].node) : "";
    const url = `${scheme}//${window.location.host}${prefix()}live?${live ? node : "state"}`;
    if (state.url === url) return noUpdate();
    Object.assign(state, { url, since: Date.now(), heard: 0, last: null, buffer: {} });
    if (!state.worker) {
      state.worker = new Worker(`${prefix()}assets/worker/live.js`);
      state.worker.onmessage = (event) => received(event.data);
    }
    state.worker.postMessage({ url });
    return noUpdate();
  }

  // Whether it makes sense to ask the server: yes while the socket is open, or where sockets never come through.
  window.smartlearnReachable = () => state.open || !state.everOpen;

  function received(message) {
    if ("open" in message) {
      const back = message.open && !state.open && state.everOpen;
      if (!message.open && state.open) state.since = Date.now();
      state.open = message.open;
      state.everOpen = state.everOpen || message.open;
      if (back) {
        window.dash_clientside.set_props("beat", { data: "back " + Date.now() });
        catch_up();
      }
      if (!message.open) tell({ away: true });
      return;
    }
    const update = JSON.parse(message.text);
    tell({ broker: update.broker, workers: update.workers, open: update.open });
    if (!update.nodes) return;
    state.heard = Date.now();
    state.last = update;
    // The server's clock against ours: ages are told by the server's.
    state.ahead = update.now / 1000 - Date.now();
    keep(update.nodes);
    window.dash_clientside.set_props("live", { data: update.now });
  }

  // What happened while the page was cut off is read from the server: what is stored, and what it heard since. Until then
  // pushes wait, because a strip only takes what is newer than its end.
  async function catch_up() {
    if (!document.querySelector("#card-live-cpu_usage")) return;
    const turn = (state.turn = (state.turn || 0) + 1);
    const query = new URL(state.url).search;
    state.catching = true;
    await new Promise((resolve) => setTimeout(resolve, STORED_MS));
    try {
      const answer = await fetch(`${prefix()}live/recent${query}`);
      if (answer.ok && turn === state.turn) join(await answer.json());
    } catch {
      // The server is away again: the next reconnection catches up.
    }
    if (turn === state.turn) state.catching = false;
  }

  // What was missed, and behind it what was pushed meanwhile.
  function join(missed) {
    const pushed = state.buffer;
    state.buffer = {};
    keep(missed);
    for (const [name, rows] of Object.entries(pushed)) {
      const known = (state.buffer[name] = state.buffer[name] || []);
      const last = known.length ? known[known.length - 1].time : 0;
      known.push(...rows.filter((row) => row.time > last));
    }
  }

  // ---------------------------------------------------------------- the state of the system

  function tell(system) {
    const text = JSON.stringify(system);
    if (text === state.told) return;
    state.told = text;
    window.dash_clientside.set_props("system", { data: system });
  }

  function system(told) {
    if (!told) return noUpdate();
    if (told.away) return mark("unknown", "Dashboard away");
    return [...alarms(told.open), workers(told)];
  }

  function alarms({ critical, warning }) {
    if (!critical && !warning) return [];
    const count = critical || warning;
    const word = `${critical ? "critical" : "warning"}${critical ? "" : count === 1 ? "" : "s"}`;
    return [mark(critical ? "critical" : "warning", `${count} ${word}`)];
  }

  function workers(told) {
    if (!told.broker) return mark("critical", "Broker away");
    const names = Object.keys(told.workers);
    const answering = names.filter((name) => told.workers[name]).length;
    if (!answering) return mark("critical", "No worker answers");
    if (answering < names.length) return mark("warning", `${answering} of ${names.length} workers`);
    return mark("ok", answering === 1 ? "1 worker" : `${answering} workers`);
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

  // One draw at a time: what comes meanwhile is drawn together by the next. A slow machine draws less often, so that
  // drawing takes half of its time at most.
  function draw(settings) {
    const started = performance.now();
    if (state.drawing || state.catching || document.hidden || !window.Plotly || started < state.rest) return;
    const rows = state.buffer;
    state.buffer = {};
    const jobs = Object.keys(settings.metrics).map((metric) => extend(metric, rows, settings));
    state.drawing = true;
    Promise.all(jobs).catch(() => undefined).finally(() => {
      const ended = performance.now();
      state.drawing = false;
      state.rest = ended + Math.min(ended - started, 500);
    });
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
      const x = [];
      const y = [];
      let before = last || newer[0].time;
      for (const row of newer) {
        // Missing data is a gap, not a line.
        if (row.time - before > settings.gap_ms) {
          x.push(stamp(before + 1));
          y.push(null);
        }
        x.push(stamp(row.time));
        y.push(Math.round(row[metric] * 1000) / 1000);
        before = row.time;
      }
      update.x.push(x);
      update.y.push(y);
      indices.push(places[name]);
    }
    if (indices.length) await window.Plotly.extendTraces(graph, update, indices, 2000);
    // The axis moves in steps, and ends a step ahead: a move costs as much as a draw.
    const now = Date.now() + (state.ahead || 0);
    if (now > (graph.smartlearnEnd || 0) && !zoomed(graph)) {
      graph.smartlearnEnd = now + STEP_MS;
      const range = [stamp(graph.smartlearnEnd - settings.window_ms), stamp(graph.smartlearnEnd)];
      await window.Plotly.relayout(graph, { "xaxis.range": range });
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
  function mark(status, word) {
    const { icons, words } = window.smartlearnStatus;
    return span(`status ${status}`, span("icon", icons[status]), span("", word || words[status]));
  }
  function stat(label, value, unit, status, note) {
    return div(
      `stat ${status || ""}`.trim(),
      div("stat-label", label),
      div("stat-value", span("value", value), span("unit", unit)),
      div("stat-line", ...(status ? [mark(status)] : []), span("note", note)),
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
      stat("Newest point", value, unit.join(" "), newest == null ? "unknown" : newest > 60000 ? "warning" : "ok",
        newest == null ? "nothing has come yet" : new Date(last.newest / 1000).toISOString().slice(11, 19) + " UTC"),
      stat("Nodes reporting", String(last.fleet.nodes), "", last.fleet.nodes ? "ok" : "unknown", "in the last minute"),
    ];
    for (const [metric, what] of Object.entries(settings.metrics)) {
      const found = last.fleet[metric];
      const [text, shownUnit] = shown(found && found.mean, what.unit);
      const high = found && found.nodes > 1 ? `${shown(found.high, what.unit).join(" ")} ${found.node}` : found ? found.node : "not measured";
      cards.push(stat(what.title, text, shownUnit, found ? level(settings, metric, found.high) : "unknown", high));
    }
    cards.push(stat("Events", number(events), "/ s", answering ? "ok" : "critical",
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
      return div("advice-line", mark(one.state),
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
      return div("advice-line", mark(found.state),
        div("advice-body", div("advice-title", action), div("advice-text", `${rule.title} is high on ${where}`)));
    });
  }

  const message = (text) => div("message", span("big", "○"), part("P", {}, text));

  function link(settings, refresh) {
    if (refresh === "0") return mark("unknown", "Paused");
    if (state.heard && Date.now() - state.heard < 4000) return mark("ok", "Live");
    return mark("warning", `Not connected for ${Math.round((Date.now() - Math.max(state.heard, state.since)) / 1000)} s`);
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
    smartlearn: Object.assign((window.dash_clientside || {}).smartlearn || {}, { socket, paint, system }),
  });
})();
