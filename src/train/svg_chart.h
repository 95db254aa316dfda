// Charts as SVG text: no scripts, no outside fonts, colours for light and dark pages (prefers-color-scheme). Text is
// escaped, numbers that are not finite leave gaps, and size is bounded however many points come.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenth {

struct ChartSeries {
  std::string name;
  std::vector<double> x, y;  // of one length; x rising
};

struct ChartMark {  // a vertical line: a stage begins
  double x;
  std::string label;
};

struct LineChart {
  std::string title = {}, x_label = {}, y_label = {};
  std::vector<ChartSeries> series = {};  // colours repeat after six
  std::vector<ChartMark> marks = {};
  bool percent = false;    // y is a share: 0..1, labelled 0..100 %
  bool from_zero = false;  // the y axis begins at 0
  bool smooth = false;     // a running mean in full colour over the pale raw line
  bool dots = false;       // a dot at each point: few, measured points
};

// 720 x 360 pixels. A chart without a finite point says "no data".
std::string line_chart_svg(const LineChart& chart);

struct HeatMap {
  std::string title = {}, x_label = {};
  std::vector<std::string> row_names = {};
  std::vector<std::vector<double>> rows = {};  // any lengths; what is not finite or below 0 is drawn as 0
  double even = 1;                             // the value of a cell that is as it should be
};

std::string heat_map_svg(const HeatMap& map);

// Multiples of 1, 2 or 5 times a power of ten, about `count` of them, the first <= low and the last >= high.
std::vector<double> nice_ticks(double low, double high, int count = 5);

// & < > " ' as entities, and what XML forbids (controls, broken UTF-8) in the visible form of printable().
std::string escape_xml(std::string_view text);

}  // namespace tenth
