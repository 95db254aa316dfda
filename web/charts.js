// Small charts in SVG: lines over an axis, and a heat map. Colours come from the classes (panels.css).
import {h, shortNumber, svg} from "./dom.js";

const kHeight = 170, kLeft = 46, kRight = 10, kTop = 8, kBottom = 22;

// About `count` round numbers from low to high.
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? rough;
  const list = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-6; t += step)
    list.push(Math.abs(t) < step * 1e-9 ? 0 : t);
  return list;
}

// The exponential mean of what came before, corrected at the beginning; weight 0: the values themselves.
function smoothed(points, weight) {
  if (!weight) return points;
  let sum = 0, norm = 0;
  return points.map(([x, y]) => {
    sum = weight * sum + (1 - weight) * y;
    norm = weight * norm + (1 - weight);
    return [x, sum / norm];
  });
}

// At most two points a pixel: the lowest and the highest, in order.
function thinned(points, width) {
  if (points.length <= 2 * width) return points;
  const per = points.length / width, list = [];
  for (let i = 0; i < width; i++) {
    const part = points.slice(Math.floor(i * per), Math.floor((i + 1) * per));
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a)), high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    list.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return list;
}

export class LineChart {
  // title: what is drawn; options: {smooth: 0 … 1, log, zero (the axis begins at 0), top (at least), span (of x, at
  // least), xText(x), yText(y)}
  constructor(title, options = {}) {
    this.title = title;
    this.options = {smooth: 0, xText: shortNumber, yText: shortNumber, ...options};
    this.series = [];
    this.value = h("span", {class: "value"});
    this.frame = h("div", {class: "plot"});
    this.element = h("figure", {class: "chart"}, h("figcaption", {}, h("span", {}, title), this.value), this.frame);
    this.frame.onpointermove = (event) => this.point(event.clientX - this.frame.getBoundingClientRect().left);
    this.frame.onpointerleave = () => this.point(null);
    new ResizeObserver(() => this.draw()).observe(this.frame);
  }

  // series: [{name, points: [[x, y], …]}], x rising; the n-th takes the n-th colour.
  show(series, options = {}) {
    Object.assign(this.options, options);
    this.series =
      series.map((one) => ({...one, points: one.points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y))}));
    this.draw();
  }

  scale() {
    const {log, zero, top, span} = this.options;
    const drawn = this.lines.flatMap((line) => line.points);
    const xs = drawn.map((p) => p[0]), ys = drawn.map((p) => this.toY(p[1])).filter(Number.isFinite);
    if (!ys.length) return null;
    const min = (list) => list.reduce((a, b) => Math.min(a, b)), max = (list) => list.reduce((a, b) => Math.max(a, b));
    let low = min(ys), high = max(ys);
    if (zero && !log) low = Math.min(0, low);
    if (top !== undefined && !log) high = Math.max(top, high);
    if (high - low < 1e-9 * Math.max(1, Math.abs(high))) [low, high] = [low - (zero ? 0 : 0.5), high + 0.5];
    const x1 = max(xs), x0 = Math.min(min(xs), x1 - (span ?? 1e-9));
    const width = this.frame.clientWidth - kLeft - kRight, height = kHeight - kTop - kBottom;
    return {
      low,
      high,
      x0,
      x1,
      x: (x) => kLeft + ((x - x0) / (x1 - x0)) * width,
      y: (y) => kTop + (1 - (this.toY(y) - low) / (high - low)) * height,
    };
  }

  toY(y) { return this.options.log ? (y > 0 ? Math.log10(y) : NaN) : y; }

  draw() {
    const width = this.frame.clientWidth;
    if (!width) return;
    this.lines =
      this.series.map((one) => ({...one, points: thinned(smoothed(one.points, this.options.smooth), width)}));
    this.now = this.scale();
    const picture = svg(
      "svg", {width, height: kHeight, viewBox: `0 0 ${width} ${kHeight}`, role: "img", "aria-label": this.inWords()});
    if (this.now)
      this.drawInto(picture);
    else
      picture.append(svg("text", {x: width / 2, y: kHeight / 2, "text-anchor": "middle"}, "nothing yet"));
    this.cursor = svg("g", {class: "cursor"});
    picture.append(this.cursor);
    this.frame.replaceChildren(picture);
    this.point(null);
  }

  drawInto(picture) {
    const {low, high, x0, x1, x, y} = this.now, {log, smooth, xText, yText} = this.options,
                                 width = this.frame.clientWidth;
    for (const t of ticks(low, high, 4)) {
      const at = y(log ? 10 ** t : t);
      picture.append(
        svg("line", {class: "grid", x1: kLeft, x2: width - kRight, y1: at, y2: at}),
        svg("text", {x: kLeft - 6, y: at + 3.5, "text-anchor": "end"}, yText(log ? 10 ** t : t)));
    }
    for (const t of ticks(x0, x1, Math.max(2, width / 110)))
      picture.append(svg("text", {x: Math.min(x(t), width - 16), y: kHeight - 5, "text-anchor": "middle"}, xText(t)));
    const path = (points) => points.filter((p) => Number.isFinite(this.toY(p[1])))
                               .map((p, i) => `${i ? "L" : "M"}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`)
                               .join("");
    if (smooth && !log)
      for (const [i, one] of this.series.entries())
        picture.append(svg("path", {class: `faint c${i}`, d: path(this.inside(thinned(one.points, width)))}));
    for (const [i, line] of this.lines.entries()) {
      picture.append(svg("path", {class: `c${i}`, d: path(line.points)}));
      if (line.points.length < 30)
        for (const p of line.points) picture.append(svg("circle", {class: `c${i}`, cx: x(p[0]), cy: y(p[1]), r: 2}));
    }
  }

  // The raw values behind smoothed ones do not stretch the axis.
  inside(points) {
    const {low, high} = this.now;
    return points.map(([x, y]) => [x, Math.max(low, Math.min(high, y))]);
  }

  // Shows the values at a place, or the last ones.
  point(place) {
    if (!this.now) return (this.value.textContent = "");
    const last = this.lines.map((line) => line.points.at(-1)).filter(Boolean);
    const {x, y} = this.now, {xText, yText} = this.options;
    if (place === null) {
      this.value.textContent = last.map((p) => yText(p[1])).join("  ·  ");
      return this.cursor.replaceChildren();
    }
    const near = this.lines.map(
      ({points}) =>
        points.reduce((a, b) => (Math.abs(x(b[0]) - place) < Math.abs(x(a[0]) - place) ? b : a), points[0] ?? null));
    const some = near.find(Boolean);
    this.value.textContent = `${xText(some[0])}:  ${near.filter(Boolean).map((p) => yText(p[1])).join("  ·  ")}`;
    this.cursor.replaceChildren(
      svg("line", {x1: x(some[0]), x2: x(some[0]), y1: kTop, y2: kHeight - kBottom}),
      ...near.map((p, i) => p && svg("circle", {class: `c${i}`, cx: x(p[0]), cy: y(p[1]), r: 3})).filter(Boolean));
  }

  inWords() {
    const {yText} = this.options;
    const words = this.series.filter((one) => one.points.length)
                    .map(({name, points}) => `${name} from ${yText(points[0][1])} to ${yText(points.at(-1)[1])}`);
    return `${this.title}: ${words.join("; ") || "nothing yet"}`;
  }
}

// Rows of values of at least 0, where 1 is even; rowNames at the left.
export function heatMap(title, rowNames, rows, cellText) {
  const columns = Math.max(1, ...rows.map((row) => row.length)), high = Math.max(2, ...rows.flat());
  const width = Math.max(200, Math.min(640, columns * 28)), cell = width / columns, height = rows.length > 24 ? 6 : 16;
  const picture = svg("svg", {
    width: width + 34,
    viewBox: `0 0 ${width + 34} ${rows.length * height}`,
    class: "heat",
    role: "img",
    "aria-label": `${title}: highest ${high.toFixed(2)}`
  });
  rows.forEach((row, r) => {
    if (height > 10 || r % 4 === 0)
      picture.append(svg("text", {x: 26, y: (r + 0.5) * height + 3.5, "text-anchor": "end"}, String(rowNames[r])));
    row.forEach((value, c) => {
      const x = 34 + c * cell;
      picture.append(svg(
        "rect", {
          x,
          y: r * height,
          width: cell - (cell > 5 ? 1 : 0),
          height: height - 1,
          class: value > 1 ? "over" : "under",
          "fill-opacity": (value > 1 ? Math.min(1, (value - 1) / (high - 1)) : 1 - value).toFixed(3)
        },
        svg("title", {}, cellText(r, c, value))));
    });
  });
  return h(
    "figure", {class: "chart"},
    h("figcaption", {}, h("span", {}, title),
      h("span", {class: "value"}, `highest ${Math.max(0, ...rows.flat()).toFixed(2)}`)),
    picture);
}
