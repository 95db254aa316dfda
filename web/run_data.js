// What the page knows of a run: its metrics as they grow, and the files beside them.
import {ApiFailure, getJson, request} from "./api.js";

const kMostPoints = 200000;  // of one curve; beyond that every other one goes

// A file of JSON lines that is read on from where the last reading ended.
class Lines {
  constructor(path, take, restart) { Object.assign(this, {path, take, restart, offset: 0, id: null}); }

  // True: there was something new.
  async poll() {
    for (let any = false;;) {
      const response = await request(`${this.path}?from=${this.offset}`);
      const id = response.headers.get("X-Run-Id"), text = await response.text();
      if (this.id !== null && id !== this.id) {
        this.restart();
        [this.id, this.offset] = [null, 0];
        continue;
      }
      this.id = id;
      const next = Number(response.headers.get("X-Next-Offset"));
      if (!text || !(next > this.offset)) return any;
      any = true;
      this.offset = next;
      for (const line of text.split("\n")) {
        try {
          if (line) this.take(JSON.parse(line));
        } catch {
          // a line that is no JSON says nothing
        }
      }
    }
  }
}

export class RunData {
  constructor({name, files}) {
    this.name = name;
    this.base = `/api/runs/${encodeURIComponent(name)}/`;
    this.files = files;
    this.metrics = new Lines(`${this.base}metrics`, (record) => this.take(record), () => this.clear());
    this.sampled = new Lines(`${this.base}samples`, (sample) => this.samples.push(sample), () => (this.samples = []));
    this.samples = [];
    this.clear();
  }

  clear() {
    this.stages = new Map();  // stage -> Map of metric -> [[step, wall, value], …]
    this.last = null;
  }

  take(record) {
    const {stage, step, wall, time, ...values} = record;
    if (typeof stage !== "string" || !Number.isFinite(step)) return;
    if (!this.stages.has(stage)) this.stages.set(stage, new Map());
    const curves = this.stages.get(stage);
    if (Number.isFinite(values.tokens) && this.last?.stage === stage && wall > this.last.wall)
      values.tokens_per_second = values.tokens / (wall - this.last.wall);
    for (const [name, value] of Object.entries(values)) {
      if (!Number.isFinite(value)) continue;
      if (!curves.has(name)) curves.set(name, []);
      const points = curves.get(name);
      points.push([step, wall, value]);
      if (points.length > kMostPoints) curves.set(name, points.filter((_, i) => i % 2));
    }
    this.last = record;
  }

  // Points of a curve over steps or seconds.
  points(stage, name, overTime) {
    return (this.stages.get(stage)?.get(name) ?? []).map(([step, wall, value]) => [overTime ? wall : step, value]);
  }

  // True: there is something new.
  async poll() {
    const news = await this.metrics.poll();
    const more = this.files.includes("samples") && (await this.sampled.poll());
    return news || more;
  }

  // Null: it is not there (yet).
  async expertLoads() { return this.missing(getJson(`${this.base}expert_load`)); }
  async summary() { return this.missing(getJson(`${this.base}summary`)); }
  async report() { return this.missing(request(`${this.base}report`).then((response) => response.text())); }
  async missing(promise) {
    try {
      return await promise;
    } catch (error) {
      if (error instanceof ApiFailure && error.status === 404) return null;
      throw error;
    }
  }
}
