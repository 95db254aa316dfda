#include "grammar/char_reader.h"

#include <algorithm>

namespace tenth {
namespace {

// The state: what is being read in the top 4 bits, below it a count (2 or 3 bits) and the bits so far.
enum Reading : uint32_t {
  kUtf8 = 1,       // length - 2 (2 bits), missing bytes (2 bits), bits (21)
  kEscape,         // behind a backslash
  kHex,            // digits so far (2 bits), value (16)
  kHigh,           // behind a high surrogate: its ten bits
  kHighBackslash,  // and a backslash behind it
  kLow,            // digits so far (2 bits), the high ten bits (10), value (12)
  kMark,           // behind 0xFF
};

uint32_t pack(Reading reading, uint32_t rest) { return uint32_t(reading) << 28 | rest; }

CharStep done(char32_t c) { return {CharStep::Kind::kDone, 0, c, {{1, 0}, {1, 0}}}; }
CharStep unfinished(uint32_t partial, CharRange a, CharRange b = {1, 0}) {
  return {CharStep::Kind::kUnfinished, partial, 0, {a, b}};
}

CharStep utf8(uint32_t length, uint32_t missing, uint32_t bits) {
  static constexpr char32_t kLeast[3] = {0x80, 0x800, 0x10000};
  const char32_t low = std::max<char32_t>(bits << (6 * missing), kLeast[length - 2]);
  const char32_t high = std::min<char32_t>((bits << (6 * missing)) | ((1u << (6 * missing)) - 1), kLastCodePoint);
  if (low > high || (low >= 0xD800 && high <= 0xDFFF)) return {};
  if (missing == 0) return done(bits);
  return unfinished(pack(kUtf8, (length - 2) << 26 | missing << 24 | bits), {low, high});
}

CharStep first_byte(uint8_t byte) {
  if (byte < 0x80) return done(byte);
  if (byte >= 0xC2 && byte < 0xE0) return utf8(2, 1, byte & 0x1F);
  if (byte >= 0xE0 && byte < 0xF0) return utf8(3, 2, byte & 0x0F);
  if (byte >= 0xF0 && byte < 0xF5) return utf8(4, 3, byte & 0x07);
  return {};
}

int hex_value(uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if ((byte | 32) >= 'a' && (byte | 32) <= 'f') return (byte | 32) - 'a' + 10;
  return -1;
}

CharStep escape(uint8_t byte) {
  switch (byte) {
    case '"':
    case '\\':
    case '/': return done(byte);
    case 'b': return done('\b');
    case 'f': return done('\f');
    case 'n': return done('\n');
    case 'r': return done('\r');
    case 't': return done('\t');
    case 'u': return unfinished(pack(kHex, 0), {0, kLastCodePoint});
    default: return {};
  }
}

// Of \u, with count digits read.
CharStep hex(uint32_t count, uint32_t value) {
  const uint32_t open = 4 * (4 - count);
  const char32_t low = value << open, high = low | ((1u << open) - 1);
  if (count == 4) {
    if (low >= 0xDC00 && low <= 0xDFFF) return {};
    if (low >= 0xD800 && low < 0xDC00) {
      const char32_t base = 0x10000 + ((low - 0xD800) << 10);
      return unfinished(pack(kHigh, low - 0xD800), {base, base + 0x3FF});
    }
    return done(value);
  }
  CharRange pairs{1, 0};
  const char32_t first = std::max<char32_t>(low, 0xD800), last = std::min<char32_t>(high, 0xDBFF);
  if (first <= last) pairs = {0x10000 + ((first - 0xD800) << 10), 0x10000 + ((last - 0xD800) << 10) + 0x3FF};
  return unfinished(pack(kHex, count << 24 | value), {low, high}, pairs);
}

// Of the second \u of a pair, with count digits read: DC00 to DFFF.
CharStep low_surrogate(uint32_t high, uint32_t count, uint32_t value) {
  const uint32_t open = 4 * (4 - count);
  const uint32_t first = std::max(value << open, 0xDC00u),
                 last = std::min((value << open) | ((1u << open) - 1), 0xDFFFu);
  if (first > last) return {};
  const char32_t base = 0x10000 + (high << 10);
  if (count == 4) return done(base + (value - 0xDC00));
  return unfinished(pack(kLow, count << 24 | high << 12 | value), {base + (first - 0xDC00), base + (last - 0xDC00)});
}

}  // namespace

CharStep read_byte(Spelling spelling, uint32_t partial, uint8_t byte) {
  const uint32_t rest = partial & 0x0FFFFFFF;
  switch (partial >> 28) {
    case 0:
      if (spelling == Spelling::kPlain)
        return byte == 0xFF ? unfinished(pack(kMark, 0), {kFirstMark, kLastMark}) : first_byte(byte);
      if (byte < 0x20 || byte == '"') return {};
      if (byte == '\\') return unfinished(pack(kEscape, 0), {0, kLastCodePoint});
      return first_byte(byte);
    case kUtf8:
      if ((byte & 0xC0) != 0x80) return {};
      return utf8((rest >> 26) + 2, (rest >> 24 & 3) - 1, (rest & 0x1FFFFF) << 6 | (byte & 0x3F));
    case kMark: return done(kFirstMark + byte);
    case kEscape: return escape(byte);
    case kHex: {
      const int digit = hex_value(byte);
      return digit < 0 ? CharStep{} : hex((rest >> 24) + 1, (rest & 0xFFFF) << 4 | uint32_t(digit));
    }
    case kHigh: {
      const char32_t base = 0x10000 + (rest << 10);
      return byte == '\\' ? unfinished(pack(kHighBackslash, rest), {base, base + 0x3FF}) : CharStep{};
    }
    case kHighBackslash: {
      const char32_t base = 0x10000 + (rest << 10);
      return byte == 'u' ? unfinished(pack(kLow, rest << 12), {base, base + 0x3FF}) : CharStep{};
    }
    case kLow: {
      const int digit = hex_value(byte);
      return digit < 0 ? CharStep{}
                       : low_surrogate(rest >> 12 & 0x3FF, (rest >> 24) + 1, (rest & 0xFFF) << 4 | uint32_t(digit));
    }
    default: return {};
  }
}

}  // namespace tenth
