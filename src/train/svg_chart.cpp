#include "train/svg_chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/text.h"

namespace tenth {
namespace {

constexpr int kWidth = 720, kHeight = 360, kLeft = 64, kRight = 24, kTop = 76, kBottom = 52;
constexpr size_t kMostPoints = 600;  // a line: more than the pixels it has
constexpr int kColours = 6;

// Six hues of about equal weight, told apart in order by people with any kind of colour vision; on dark pages lighter.
constexpr const char* kStyle = R"(<style>
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12px;fill:#57606a}
.page{fill:#ffffff}.title{font-size:15px;font-weight:600;fill:#1f2328}.ink{fill:#1f2328}.onfull{fill:#ffffff}
.grid{stroke:#e3e8ed}.axis{stroke:#8c959f}.mark{stroke:#8c959f;stroke-dasharray:4 3}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.raw{stroke-width:1;stroke-opacity:.35}
.s0{stroke:#2563c9}.s1{stroke:#d9580d}.s2{stroke:#12805c}.s3{stroke:#8a3fc4}.s4{stroke:#a87400}.s5{stroke:#c2255c}
.f0{fill:#2563c9}.f1{fill:#d9580d}.f2{fill:#12805c}.f3{fill:#8a3fc4}.f4{fill:#a87400}.f5{fill:#c2255c}
@media (prefers-color-scheme:dark){text{fill:#9aa5b1}.page,.onfull{fill:#0d1117}.title,.ink{fill:#e6edf3}
.grid{stroke:#252c35}.axis,.mark{stroke:#6e7781}
.s0{stroke:#6ba4ff}.s1{stroke:#ff9a52}.s2{stroke:#4cc79a}.s3{stroke:#c792f2}.s4{stroke:#e0b341}.s5{stroke:#ff7ba6}
.f0{fill:#6ba4ff}.f1{fill:#ff9a52}.f2{fill:#4cc79a}.f3{fill:#c792f2}.f4{fill:#e0b341}.f5{fill:#ff7ba6}}
</style>
)";

std::string head(int width, int height, const std::string& title) {
  const std::string safe = escape_xml(title);
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\" "
      "aria-label=\"{2}\">\n{3}<rect class=\"page\" width=\"{0}\" height=\"{1}\" rx=\"6\"/>\n"
      "<text class=\"title\" x=\"{4}\" y=\"28\">{2}</text>\n",
      width, height, safe, kStyle, 20);
}

std::string label(double x, double y, const char* anchor, std::string_view text, std::string_view more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, more,
                     escape_xml(text));
}

// Pixels of a line of 12-pixel text, near enough to lay out a legend.
double text_width(std::string_view text) {
  return 6.7 * double(std::count_if(text.begin(), text.end(), [](char c) { return (uint8_t(c) & 0xC0) != 0x80; }));
}

struct Axis {
  double low, high;   // data
  double begin, end;  // pixels
  std::vector<double> ticks;
  double at(double value) const { return begin + (value - low) / (high - low) * (end - begin); }
};

// Ticks of a y axis are its ends; an x axis ends where the data ends.
Axis make_axis(double low, double high, double begin, double end, bool snap) {
  Axis axis{low, high, begin, end, nice_ticks(low, high, snap ? 5 : 7)};
  if (snap) axis.low = axis.ticks.front(), axis.high = axis.ticks.back();
  if (axis.high <= axis.low) axis.high = axis.low + 1;
  std::erase_if(axis.ticks, [&](double tick) {
    const double slack = 1e-9 * (axis.high - axis.low);
    return tick < axis.low - slack || tick > axis.high + slack;
  });
  return axis;
}

std::string tick_text(double value, bool percent) {
  if (percent) return fmt::format("{:.4g} %", 100 * value);
  return std::abs(value) < 1e4 ? fmt::format("{:.4g}", value) : short_number(value);
}

bool usable(double value) { return std::isfinite(value) && std::abs(value) < 1e300; }

// At most kMostPoints points, each the mean of its bucket; a bucket without a finite value stays NaN, a gap.
ChartSeries thinned(const ChartSeries& series) {
  const size_t count = std::min(series.x.size(), series.y.size());
  const size_t bucket = (count + kMostPoints - 1) / kMostPoints;
  if (bucket <= 1) return series;
  ChartSeries thin{series.name, {}, {}};
  for (size_t begin = 0; begin < count; begin += bucket) {
    const size_t end = std::min(begin + bucket, count);
    double sum = 0, finite = 0;
    for (size_t i = begin; i < end; i++)
      if (usable(series.y[i])) sum += series.y[i] / double(bucket), finite += 1;
    thin.x.push_back(series.x[(begin + end - 1) / 2]);
    thin.y.push_back(finite > 0 ? sum * double(bucket) / finite : std::numeric_limits<double>::quiet_NaN());
  }
  return thin;
}

// Mean of a window around each point, without lag: symmetric, so that it narrows towards both ends. Prefix sums:
// linear.
std::vector<double> smoothed(const std::vector<double>& values) {
  const size_t count = values.size();
  std::vector<double> sums(count + 1), finite(count + 1), out(count, std::numeric_limits<double>::quiet_NaN());
  for (size_t i = 0; i < count; i++) {
    sums[i + 1] = sums[i] + (usable(values[i]) ? values[i] : 0);
    finite[i + 1] = finite[i] + (usable(values[i]) ? 1 : 0);
  }
  for (size_t i = 0; i < count; i++) {
    const size_t half = std::min({i, count - 1 - i, std::max<size_t>(count / 40, 2)});
    const double weight = finite[i + half + 1] - finite[i - half];
    if (usable(values[i])) out[i] = (sums[i + half + 1] - sums[i - half]) / weight;
  }
  return out;
}

std::string path(const std::vector<double>& xs, const std::vector<double>& ys, const Axis& x, const Axis& y,
                 const std::string& classes) {
  std::string d;
  bool pen_down = false;
  for (size_t i = 0; i < std::min(xs.size(), ys.size()); i++) {
    const bool draw = usable(xs[i]) && usable(ys[i]);
    if (draw) d += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", x.at(xs[i]), y.at(ys[i]));
    pen_down = draw;
  }
  return d.empty() ? "" : fmt::format("<path class=\"{}\" d=\"{}\"/>\n", classes, d);
}

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void add(double value) { low = std::min(low, value), high = std::max(high, value); }
  bool empty() const { return low > high; }
};

// Names at the right of the line that the y axis' label begins.
std::string legend(const LineChart& chart) {
  std::string out;
  double x = kWidth - kRight + 18;
  for (const ChartSeries& series : chart.series) x -= 20 + text_width(series.name) + 18;
  for (size_t i = 0; i < chart.series.size(); i++) {
    out += fmt::format("<rect class=\"f{}\" x=\"{:.1f}\" y=\"48\" width=\"14\" height=\"4\" rx=\"2\"/>\n", i % kColours,
                       x);
    out += label(x + 20, 54, "start", chart.series[i].name);
    x += 20 + text_width(chart.series[i].name) + 18;
  }
  return out;
}

std::string frame(const LineChart& chart, const Axis& x, const Axis& y) {
  std::string out;
  for (const double tick : y.ticks) {
    const double at = y.at(tick);
    out +=
        fmt::format("<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>\n", x.begin, x.end, at);
    out += label(x.begin - 8, at + 4, "end", tick_text(tick, chart.percent));
  }
  for (const double tick : x.ticks) {
    const double at = x.at(tick);
    out += fmt::format("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/>\n", at, y.begin,
                       y.begin + 4);
    out += label(at, y.begin + 18, "middle", tick_text(tick, false));
  }
  out += fmt::format("<line class=\"axis\" x1=\"{0}\" x2=\"{1}\" y1=\"{2}\" y2=\"{2}\"/>\n", x.begin, x.end, y.begin);
  for (const ChartMark& mark : chart.marks) {
    if (!(mark.x >= x.low && mark.x <= x.high)) continue;
    const double at = x.at(mark.x);
    out +=
        fmt::format("<line class=\"mark\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/>\n", at, y.begin, y.end);
    const bool left = at > (x.begin + x.end) / 2;
    out += label(at + (left ? -5 : 5), y.end + 12, left ? "end" : "start", mark.label);
  }
  out += label((x.begin + x.end) / 2, kHeight - 14, "middle", chart.x_label);
  out += label(20, 54, "start", chart.y_label);
  return out;
}

}  // namespace

std::vector<double> nice_ticks(double low, double high, int count) {
  if (!usable(low) || !usable(high)) return {0, 1};
  if (low > high) std::swap(low, high);
  // A range too narrow for its place gets one that doubles can still divide.
  const double least = std::max({std::abs(low), std::abs(high), 1e-280}) * 1e-9;
  if (high - low < least) {
    const double room = low == 0 && high == 0 ? 1 : std::max(std::abs(low), std::abs(high)) * 0.1;
    high += room, low = low >= 0 ? std::max(0.0, low - room) : low - room;
  }
  const double rough = (high - low) / std::max(count, 1);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double digit = rough / power;
  const double step = power * (digit <= 1.0001 ? 1 : digit <= 2.0001 ? 2 : digit <= 5.0001 ? 5 : 10);
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  std::vector<double> ticks;
  for (double i = first; i <= last && ticks.size() < 100; i += 1) ticks.push_back(i * step);
  return ticks;
}

std::string escape_xml(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  return out;
}

std::string line_chart_svg(const LineChart& chart) {
  std::vector<ChartSeries> lines;
  Range xs, ys;
  for (const ChartSeries& series : chart.series) {
    lines.push_back(thinned(series));
    for (size_t i = 0; i < std::min(lines.back().x.size(), lines.back().y.size()); i++)
      if (usable(lines.back().x[i]) && usable(lines.back().y[i])) xs.add(lines.back().x[i]), ys.add(lines.back().y[i]);
  }
  std::string out = head(kWidth, kHeight, chart.title);
  if (xs.empty()) return out + label(kWidth / 2.0, kHeight / 2.0, "middle", "no data") + "</svg>\n";
  if (chart.percent) ys.add(0), ys.add(1);
  if (chart.from_zero) ys.add(0);
  if (xs.low > 0 && xs.low < 0.1 * xs.high) xs.add(0);  // steps that begin at 1

  const Axis x = make_axis(xs.low, xs.high, kLeft, kWidth - kRight, false);
  const Axis y = make_axis(ys.low, ys.high, kHeight - kBottom, kTop, true);
  out += frame(chart, x, y);
  if (chart.series.size() > 1) out += legend(chart);
  for (size_t i = 0; i < lines.size(); i++) {
    const std::string classes = fmt::format("line s{}", i % kColours);
    const bool smooth = chart.smooth && lines[i].y.size() >= 40;
    out += path(lines[i].x, lines[i].y, x, y, smooth ? classes + " raw" : classes);
    if (smooth) out += path(lines[i].x, smoothed(lines[i].y), x, y, classes);
    for (size_t p = 0; chart.dots && p < std::min(lines[i].x.size(), lines[i].y.size()); p++)
      if (usable(lines[i].x[p]) && usable(lines[i].y[p]))
        out += fmt::format("<circle class=\"f{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"/>\n", i % kColours,
                           x.at(lines[i].x[p]), y.at(lines[i].y[p]));
  }
  return out + "</svg>\n";
}

std::string heat_map_svg(const HeatMap& map) {
  constexpr size_t kMostRows = 256, kMostCells = 512;
  const size_t rows = std::min({map.rows.size(), map.row_names.size(), kMostRows});
  size_t columns = 0;
  double most = 2 * map.even, names = 0;
  for (size_t r = 0; r < rows; r++) {
    columns = std::max(columns, std::min(map.rows[r].size(), kMostCells));
    for (const double value : map.rows[r])
      if (usable(value)) most = std::max(most, value);
    names = std::max(names, std::min(text_width(map.row_names[r]), 200.0));
  }
  const double cell_height = rows ? std::clamp(520.0 / double(rows), 4.0, 24.0) : 0;
  const double left = 20 + names + 10, top = 44, width = kWidth - left - 92;
  const double bottom = top + cell_height * double(rows);
  std::string out = head(kWidth, int(bottom) + 54, map.title);
  if (columns == 0) return out + label(kWidth / 2.0, bottom + 20, "middle", "no data") + "</svg>\n";

  const double cell_width = width / double(columns);
  const auto strength = [&](double value) { return usable(value) && value > 0 ? 0.04 + 0.96 * value / most : 0.04; };
  const size_t name_every = size_t(std::ceil(13 / cell_height));
  for (size_t r = 0; r < rows; r++) {
    const double y = top + cell_height * double(r), text_y = y + cell_height / 2 + 4;
    if (r % name_every == 0) out += label(left - 8, text_y, "end", map.row_names[r]);
    double highest = 0;
    for (size_t c = 0; c < std::min(map.rows[r].size(), kMostCells); c++) {
      const double value = map.rows[r][c], x = left + cell_width * double(c);
      highest = std::max(highest, usable(value) ? value : 0);
      out += fmt::format(
          "<rect class=\"f0\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill-opacity=\"{:.3f}\"/>\n",
          x, y, std::max(cell_width - 1, 0.5), std::max(cell_height - 1, 0.5), strength(value));
      if (cell_width >= 26 && cell_height >= 16)
        out += label(x + cell_width / 2, text_y, "middle", fmt::format("{:.1f}", value),
                     strength(value) > 0.6 ? " class=\"onfull\"" : " class=\"ink\"");
    }
    if (r % name_every == 0) out += label(kWidth - 20, text_y, "end", fmt::format("max {:.2f}", highest));
  }
  const size_t number_every = size_t(std::ceil(28 / cell_width));
  for (size_t c = 0; c < columns; c += number_every)
    out += label(left + cell_width * (double(c) + 0.5), bottom + 16, "middle", fmt::format("{}", c));
  return out + label(left + width / 2, bottom + 38, "middle", map.x_label) + "</svg>\n";
}

}  // namespace tenth
