// The server's load now and in the last minutes, from /metrics.
import {getJson, request} from "./api.js";
import {LineChart} from "./charts.js";
import {duration, h, shortNumber} from "./dom.js";
import {Snapshot} from "./prometheus.js";

const kSeconds = 300;
const seconds = (s) => (s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(1)} s`);
const percent = (x) => `${Math.round(100 * x)} %`;
const bytes = (x) => (x < 1e9 ? `${Math.round(x / 1e6)} MB` : `${(x / 1e9).toFixed(2)} GB`);
const ago = (t) => (t > -0.5 ? "now" : `${Math.round(t)} s`);

// Each chart: its lines, from a snapshot and the one before.
const kCharts = [
  {
    title: "Requests that run · wait",
    top: 1,
    lines: [
      ["running", (s) => s.value("tenth_num_requests_running")],
      ["waiting", (s) => s.value("tenth_num_requests_waiting")]
    ]
  },
  {
    title: "Tokens/s written · read",
    text: shortNumber,
    lines: [
      ["written", (s, b) => s.rate("tenth_generation_tokens_total", b)],
      ["read", (s, b) => s.rate("tenth_prompt_tokens_total", b)]
    ]
  },
  {title: "Cache in use", top: 1, text: percent, lines: [["in use", (s) => s.value("tenth_kv_cache_usage_perc")]]},
  {
    title: "Prompt tokens found in the cache",
    top: 1,
    text: percent,
    lines:
      [["hits", (s, b) => s.rate("tenth_prefix_cache_hits_total", b) / s.rate("tenth_prefix_cache_queries_total", b)]]
  },
  {title: "Tokens in a step", lines: [["tokens", (s) => s.value("tenth_batch_tokens")]]},
  {
    title: "First token after, median · 95 %",
    text: seconds,
    window: 10,
    lines: [
      ["median", (s, b) => s.quantile("tenth_time_to_first_token_seconds", 0.5, b)],
      ["95 %", (s, b) => s.quantile("tenth_time_to_first_token_seconds", 0.95, b)]
    ]
  },
  {
    title: "Between tokens, median · 95 %",
    text: seconds,
    window: 10,
    lines: [
      ["median", (s, b) => s.quantile("tenth_inter_token_latency_seconds", 0.5, b)],
      ["95 %", (s, b) => s.quantile("tenth_inter_token_latency_seconds", 0.95, b)]
    ]
  },
  {title: "Memory", text: bytes, lines: [["memory", (s) => s.value("process_resident_memory_bytes")]]},
];

const kFigures = [
  ["Requests now", (s) => shortNumber(s.value("tenth_requests_open"))],
  ["Answers so far", (s) => shortNumber(s.value("tenth_request_success_total") || 0)],
  ["Tokens written", (s) => shortNumber(s.value("tenth_generation_tokens_total"))],
  ["Prompt tokens read", (s) => shortNumber(s.value("tenth_prompt_tokens_total"))],
  [
    "Found in the cache",
    (s) => percent(s.value("tenth_prefix_cache_hits_total") / Math.max(1, s.value("tenth_prefix_cache_queries_total")))
  ],
  [
    "Guesses that were right",
    (s) => orDash(
      percent,
      s.value("tenth_spec_decode_num_accepted_tokens_total") / s.value("tenth_spec_decode_num_draft_tokens_total"))
  ],
  ["First token, median", (s) => orDash(seconds, s.quantile("tenth_time_to_first_token_seconds", 0.5, null))],
  ["Preemptions", (s) => shortNumber(s.value("tenth_num_preemptions_total"))],
  ["Up for", (s) => duration(Math.max(0, Date.now() / 1000 - s.value("process_start_time_seconds")))],
];
const orDash = (text, value) => (Number.isFinite(value) ? text(value) : "–");

export class ServerView {
  constructor(root) {
    this.history = [];
    this.state = h("p", {class: "soft facts", role: "status"});
    this.figures = h("dl", {class: "figures-grid"});
    this.charts = kCharts.map(
      ({title, top, text}) =>
        new LineChart(title, {zero: true, span: 30, top, yText: text ?? shortNumber, xText: ago}));
    root.append(
      h("div", {class: "panel", tabindex: "-1"}, h("header", {class: "panel-head"}, h("h1", {}, "Server")), this.state,
        this.figures, h("div", {class: "charts"}, this.charts.map((chart) => chart.element))));
  }

  show() {
    this.hide();
    this.tick();
    this.timer = setInterval(() => document.hidden || this.tick(), 1000);
  }

  hide() { clearInterval(this.timer); }

  async tick() {
    if (this.asking) return;
    this.asking = true;
    try {
      const text = await (await request("/metrics")).text();
      this.history.push(new Snapshot(text, performance.now() / 1000));
      const last = this.history.at(-1);
      this.history = this.history.filter(({time}) => time > last.time - kSeconds);
      this.state.className = "soft facts";
      this.state.textContent = (await getJson("/health")).status === "ok" ? "It answers." : "";
      this.draw(last);
    } catch (error) {
      this.state.className = "trouble facts";
      this.state.textContent = error.message;
    }
    this.asking = false;
  }

  draw(last) {
    this.figures.replaceChildren(
      ...kFigures.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text(last)))));
    for (const [i, {lines, window = 1}] of kCharts.entries())
      this.charts[i].show(lines.map(
        ([name, value]) => ({
          name,
          points: this.history.slice(1).map(
            (snapshot, n) => [snapshot.time - last.time, value(snapshot, this.history[Math.max(0, n + 1 - window)])]),
        })));
  }
}
