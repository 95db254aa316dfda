#include "train/table.h"

#include <algorithm>
#include <cstdint>

#include "train/report.h"

namespace tenth {

std::string markdown_table(const std::vector<Row>& rows, bool numbers) {
  std::string out;
  for (size_t r = 0; r < rows.size(); r++) {
    for (const std::string& cell : rows[r]) out += "| " + escape_markdown(cell) + " ";
    out += "|\n";
    if (r > 0) continue;
    for (size_t c = 0; c < rows[r].size(); c++) out += c > 0 && numbers ? "|---:" : "|---";
    out += "|\n";
  }
  return out;
}

size_t columns_of(std::string_view text) {
  return size_t(std::count_if(text.begin(), text.end(), [](char c) { return (uint8_t(c) & 0xC0) != 0x80; }));
}

std::string text_table(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows)
    for (size_t c = 0; c < row.size(); c++) {
      if (c == widths.size()) widths.push_back(0);
      widths[c] = std::max(widths[c], columns_of(row[c]));
    }
  std::string out;
  for (const Row& row : rows) {
    std::string line = " ";
    for (size_t c = 0; c < row.size(); c++) {
      const std::string gap(widths[c] - columns_of(row[c]), ' ');
      line += c == 0 ? " " + row[c] + gap : "  " + gap + row[c];
    }
    out += line + "\n";
  }
  return out;
}

}  // namespace tenth
