// The runs: curves as they grow, the load of the experts, samples, the report; two runs in one picture.
import {getJson} from "./api.js";
import {heatMap, LineChart} from "./charts.js";
import {duration, h, shortNumber} from "./dom.js";
import {showMarkdown} from "./markdown.js";
import {RunData} from "./run_data.js";
import {showSamples} from "./samples.js";

// Stages and curves in the order in which they are shown; others follow by name. Those of kFirst stand open.
const kStages = {
  rl: "Reinforcement",
  sft: "Fine-tuning",
  train: "Training"
};
const kFirst = [
  "reward", "accuracy", "length", "entropy", "loss", "val_bpb", "val_loss", "max_violation", "tokens_per_second",
  "logprob_gap"
];
const kNames = {
  reward: "Reward",
  accuracy: "Held-out accuracy",
  length: "Length of answers, tokens",
  entropy: "Entropy, nats",
  loss: "Loss",
  val_bpb: "Validation, bits per byte",
  val_loss: "Validation loss",
  max_violation: "Busiest expert over its share",
  tokens_per_second: "Tokens/s",
  logprob_gap: "Sampler against trainer, nats",
  mtp_loss: "Loss of multi-token prediction",
  balance_loss: "Balance loss",
  grad_norm: "Norm of the gradient",
  lr_factor: "Learning rate, share",
  truncated: "Cut answers, share",
  thinking: "Answers that think, share",
  zero_variance: "Groups without variance, share",
  approx_kl: "KL of the update",
  reference_kl: "KL to the reference",
  clip_fraction: "Clipped tokens, share",
  tokens: "Tokens a step",
  flops: "Operations a step",
};

export class RunsView {
  constructor(root) {
    this.root = root;
    this.runs = [];
    this.shown = [];  // RunData of one or two
    this.smooth = 0.6;
    this.list = h("ul");
    this.content = h("div", {class: "panel", tabindex: "-1"}, h("p", {class: "soft"}, "…"));
    root.append(
      h("aside", {class: "list", "aria-label": "Runs"}, h("nav", {"aria-label": "Runs"}, this.list)), this.content);
  }

  async show(names) {
    this.hide();
    this.wanted = names.filter(Boolean).slice(0, 2);
    this.visible = true;
    await this.tick();
    this.timer = setInterval(() => document.hidden || this.tick(), 2000);
  }

  hide() {
    this.visible = false;
    clearInterval(this.timer);
  }

  // Asks for news; one question at a time.
  async tick() {
    if (this.asking) return;
    this.asking = true;
    try {
      this.runs = (await getJson("/api/runs")).runs;
      this.drawList();
      await this.choose();
      const news = await Promise.all(this.shown.map((run) => run.poll()));
      if (news.some(Boolean)) this.drawCurves();
    } catch (error) {
      this.shown = [];
      this.content.replaceChildren(h("p", {class: "trouble"}, error.message));
    }
    this.asking = false;
  }

  drawList() {
    const current = this.wanted[0] ?? this.runs[0]?.name;
    // Drawn anew only where it differs: a link keeps the focus.
    const state = JSON.stringify([current, this.runs.map(({name, stage, step, age}) => [name, stage, step, age < 20])]);
    if (state === this.listState) return;
    this.listState = state;
    this.list.replaceChildren(...this.runs.map((run) => {
      const live = run.age < 20;
      return h(
        "li", {},
        h("a", {href: `#runs/${encodeURIComponent(run.name)}`, "aria-current": run.name === current ? "true" : null},
          run.name,
          h("small", {}, live ? "running · " : "",
            run.stage ? `${kStages[run.stage] ?? run.stage}, step ${run.step}` : "nothing yet")));
    }));
  }

  // Makes `shown` what is wanted: the newest run where nothing is.
  async choose() {
    const names = this.wanted.length ? this.wanted : this.runs.slice(0, 1).map((run) => run.name);
    const infos = names.map((name) => this.runs.find((run) => run.name === name));
    const same = infos.length === this.shown.length && infos.every((info, i) => info?.name === this.shown[i].name);
    if (same && infos.length) {
      infos.forEach((info, i) => (this.shown[i].files = info.files));
      return;
    }
    if (!infos.length)
      return this.content.replaceChildren(
        h("div", {class: "welcome"}, h("h2", {}, "No runs yet"),
          h("p", {}, "They appear here while ", h("code", {}, "tenth train"),
            " works, if the server shows their folder (--runs).")));
    if (infos.includes(undefined))
      return this.content.replaceChildren(
        h("p", {class: "trouble"}, `There is no run “${names[infos.indexOf(undefined)]}” here.`));
    this.shown = infos.map((info) => new RunData(info));
    this.build();
  }

  build() {
    const [run, other] = this.shown;
    const compare =
      h("select", {
        id: "compare",
        onchange: () =>
          (location.hash = ["#runs", run.name, compare.value]
                             .filter(Boolean)
                             .map((part, i) => (i ? encodeURIComponent(part) : part))
                             .join("/"))
      },
        h("option", {value: ""}, "no other run"),
        this.runs.filter((one) => one.name !== run.name)
          .map(({name}) => h("option", {value: name, selected: name === other?.name}, name)));
    const range = h("input", {
      id: "smooth",
      type: "range",
      min: 0,
      max: 0.98,
      step: 0.02,
      value: this.smooth,
      oninput: () => ((this.smooth = Number(range.value)), this.drawCurves())
    });
    const axis =
      h("select", {id: "axis", onchange: () => ((this.overTime = axis.value === "time"), this.drawCurves())},
        h("option", {value: "step"}, "steps"), h("option", {value: "time", selected: this.overTime}, "time"));
    const log = h(
      "input",
      {id: "log", type: "checkbox", checked: this.log, onchange: () => ((this.log = log.checked), this.drawCurves())});
    this.facts = h("p", {class: "soft facts"});
    this.curves = h("div");
    this.extra = h("div");
    this.charts = new Map();
    this.extraUntil = 0;
    this.extraState = null;
    this.content.replaceChildren(
      h("header", {class: "panel-head"},
        h("h1", {}, this.shown.map(({name}, i) => h("span", {class: `run-name c${i}`}, name))),
        h("div", {class: "controls"}, h("label", {}, "Compare with ", compare), h("label", {}, "Over ", axis),
          h("label", {}, "Smooth ", range), h("label", {}, log, " Log scale"))),
      this.facts, this.curves, this.extra);
  }

  drawCurves() {
    const stages = [...new Set(this.shown.flatMap((run) => [...run.stages.keys()]))];
    const place = (list, name) => (list.indexOf(name) + 1 || list.length + 1);
    stages.sort((a, b) => place(Object.keys(kStages), a) - place(Object.keys(kStages), b));
    for (const stage of stages) {
      const names = [...new Set(this.shown.flatMap((run) => [...(run.stages.get(stage)?.keys() ?? [])]))];
      names.sort((a, b) => place(kFirst, a) - place(kFirst, b) || a.localeCompare(b));
      for (const name of names) this.drawCurve(stage, name);
    }
    this.drawFacts();
    this.drawExtra();
  }

  drawFacts() {
    const words = this.shown.map((run) => {
      const {last} = run;
      return last ? `${this.shown.length > 1 ? run.name + ": " : ""}${kStages[last.stage] ?? last.stage}, step ${
                      last.step}, ${duration(last.wall ?? 0)}` :
                    "nothing yet";
    });
    this.facts.textContent = words.join(" · ");
  }

  stagePlace(stage) {
    const id = `stage-${stage}`;
    let section = [...this.curves.children].find((one) => one.dataset.id === id);
    if (!section) {
      section =
        h("section", {"data-id": id}, h("h2", {}, kStages[stage] ?? stage), h("div", {class: "charts"}),
          h("details", {}, h("summary", {}, "More curves"), h("div", {class: "charts"})));
      this.curves.append(section);
      const order = [...Object.keys(kStages)].map((one) => `stage-${one}`);
      this.curves.append(
        ...[...this.curves.children].sort((a, b) => order.indexOf(a.dataset.id) - order.indexOf(b.dataset.id)));
    }
    return section;
  }

  drawCurve(stage, name) {
    const key = `${stage}/${name}`;
    if (!this.charts.has(key)) {
      const chart = new LineChart(kNames[name] ?? name);
      this.charts.set(key, chart);
      // The loss of a policy says nothing: its gradient does.
      const first = kFirst.includes(name) && !(stage === "rl" && name === "loss");
      this.stagePlace(stage).querySelectorAll(".charts")[first ? 0 : 1].append(chart.element);
    }
    const share = ["accuracy", "reward", "truncated", "thinking"].includes(name);
    const few = this.shown.every((run) => (run.stages.get(stage)?.get(name)?.length ?? 0) < 30);
    this.charts.get(key).show(
      this.shown.map((run) => ({name: run.name, points: run.points(stage, name, this.overTime)})), {
        smooth: few ? 0 : this.smooth,
        log: this.log && !share,
        xText: this.overTime ? duration : shortNumber,
        zero: share || ["tokens_per_second", "logprob_gap"].includes(name),
        top: share ? 1 : undefined
      });
  }

  // What is not a curve: asked for now and then while the run goes on, and drawn anew only if it has changed.
  async drawExtra() {
    if (performance.now() < this.extraUntil) return;
    this.extraUntil = performance.now() + 5000;
    const shown = this.shown;
    const parts = await Promise.all(shown.map(async (run) => {
      const has = (file) => run.files.includes(file);
      return {
        loads: has("expert_load") ? await run.expertLoads() : null,
        report: has("report") ? await run.report() : null,
        count: run.samples.length
      };
    }));
    const state = JSON.stringify(parts);
    if (shown !== this.shown || this.extraState === state) return;
    this.extraState = state;
    this.extra.replaceChildren(
      h("div", {class: `columns n${parts.length}`}, parts.map((part, i) => this.column(shown[i], part))));
  }

  column(run, {loads, report}) {
    const column = h("div", {});
    if (this.shown.length > 1) column.append(h("h2", {}, run.name));
    for (const {stage, layers, loads: rows} of Array.isArray(loads) ? loads : [])
      column.append(heatMap(
        `Load of the experts, ${(kStages[stage] ?? stage).toLowerCase()}: layer by layer, 1 is even`, layers, rows,
        (r, c, value) => `layer ${layers[r]}, expert ${c}: ${value.toFixed(2)} times its even share`));
    if (run.samples.length) column.append(showSamples(run.samples));
    if (report) {
      const text = h("div", {class: "markdown report"});
      showMarkdown(text, report.replace(/^## Curves$/m, "").replace(/^!\[.*\n*/gm, ""));
      column.append(h("details", {class: "report-fold", open: !run.samples.length}, h("summary", {}, "Report"), text));
    }
    return column;
  }
}
