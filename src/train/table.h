// Tables for Markdown files and for terminals. The first row is the head; the first column stands to the left, the
// others, where they are numbers, to the right.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tenth {

using Row = std::vector<std::string>;

std::string markdown_table(const std::vector<Row>& rows, bool numbers = true);  // cells are escaped
std::string text_table(const std::vector<Row>& rows);                           // cells must be printable()

size_t columns_of(std::string_view text);  // code points: what a line of UTF-8 is wide on a terminal, roughly

}  // namespace tenth
