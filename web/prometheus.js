// Prometheus' text format: [{name, labels, value}, …].
export function parseMetrics(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, key, value] of (match[2] ?? "").matchAll(/(\w+)="((?:\\.|[^"\\])*)"/g))
      labels[key] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    const value = match[3] === "+Inf" ? Infinity : match[3] === "-Inf" ? -Infinity : Number(match[3]);
    samples.push({name: match[1], labels, value});
  }
  return samples;
}

// The samples of one moment, by name.
export class Snapshot {
  constructor(text, time) {
    this.time = time;  // seconds
    this.samples = parseMetrics(text);
  }

  // The sum over all labels; NaN where there is none.
  value(name) {
    const list = this.samples.filter((sample) => sample.name === name);
    return list.length ? list.reduce((sum, {value}) => sum + value, 0) : NaN;
  }

  // Of a counter, a second, since an earlier snapshot. One that went back began anew.
  rate(name, before) {
    const gain = this.value(name) - before.value(name);
    return gain >= 0 ? gain / (this.time - before.time) : NaN;
  }

  // A quantile of what a histogram took in since then (null: ever); linear within a bucket. NaN: nothing came.
  quantile(name, share, before) {
    const buckets = new Map();
    for (const [source, sign] of [[this, 1], [before, -1]])
      for (const {name: other, labels, value} of source?.samples ?? [])
        if (other === `${name}_bucket`) {
          const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
          buckets.set(bound, (buckets.get(bound) ?? 0) + sign * value);
        }
    const bounds = [...buckets.keys()].sort((a, b) => a - b), all = buckets.get(Infinity) ?? 0;
    if (!(all > 0)) return NaN;
    let below = 0, low = 0;
    for (const bound of bounds) {
      const count = buckets.get(bound);
      if (count >= share * all)
        return bound === Infinity ? low : low + ((share * all - below) / Math.max(count - below, 1e-9)) * (bound - low);
      [below, low] = [count, bound];
    }
    return low;
  }
}
