#include "base/utf8.h"

namespace tenth {
namespace {

struct Part {
  size_t length;
  enum { kWhole, kBroken, kUnfinished } state;
};

// The first character of bytes (not empty), or its longest prefix that could begin one (Unicode 15, table 3-7).
Part first_part(std::string_view bytes) {
  auto byte = [&](size_t i) { return uint8_t(bytes[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {1, Part::kWhole};
  if (lead < 0xC2 || lead > 0xF4) return {1, Part::kBroken};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  for (size_t i = 1; i < length; i++) {
    if (i == bytes.size()) return {i, Part::kUnfinished};
    uint8_t low = 0x80, high = 0xBF;
    if (i == 1) {
      if (lead == 0xE0) low = 0xA0;   // no overlong forms
      if (lead == 0xED) high = 0x9F;  // no surrogates
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;  // nothing past U+10FFFF
    }
    if (byte(i) < low || byte(i) > high) return {i, Part::kBroken};
  }
  return {length, Part::kWhole};
}

}  // namespace

size_t append_well_formed(std::string_view bytes, bool final, std::string& out) {
  size_t position = 0, copied = 0;
  auto copy = [&] { out.append(bytes.substr(copied, position - copied)); };
  while (position < bytes.size()) {
    Part part = first_part(bytes.substr(position));
    if (part.state == Part::kWhole) {
      position += part.length;
      continue;
    }
    copy();
    if (part.state == Part::kUnfinished && !final) return position;
    out += "\xEF\xBF\xBD";
    position += part.length;
    copied = position;
  }
  copy();
  return position;
}

size_t well_formed_prefix(std::string_view bytes) {
  size_t position = 0;
  while (position < bytes.size()) {
    const Part part = first_part(bytes.substr(position));
    if (part.state != Part::kWhole) break;
    position += part.length;
  }
  return position;
}

char32_t next_code_point(std::string_view text, size_t& position) {
  const uint8_t lead = uint8_t(text[position++]);
  if (lead < 0x80) return lead;
  const int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  char32_t code_point = lead & (0x3F >> more);
  for (int i = 0; i < more; i++) code_point = code_point << 6 | (uint8_t(text[position++]) & 0x3F);
  return code_point;
}

void append_code_point(char32_t c, std::string& out) {
  auto tail = [&](int shift) { out += char(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) {
    out += char(c);
  } else if (c < 0x800) {
    out += char(0xC0 | c >> 6);
    tail(0);
  } else if (c < 0x10000) {
    out += char(0xE0 | c >> 12);
    tail(6);
    tail(0);
  } else {
    out += char(0xF0 | c >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace tenth
