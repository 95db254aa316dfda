#include "train/tensorboard.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>

namespace tenth {
namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
    table[byte] = crc;
  }
  return table;
}

template <class Word>
std::string little_endian(Word word) {
  std::string bytes(sizeof(Word), '\0');
  for (char& byte : bytes) byte = char(word & 0xFF), word = Word(word >> 8);
  return bytes;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += char(0x80 | (value & 0x7F));
  return bytes + char(value);
}

// Wire types of protocol buffers: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
std::string field_header(int field, int wire_type) { return varint(uint64_t(field) << 3 | uint64_t(wire_type)); }
std::string varint_field(int field, int64_t value) { return field_header(field, 0) + varint(uint64_t(value)); }
std::string double_field(int field, double value) {
  return field_header(field, 1) + little_endian(std::bit_cast<uint64_t>(value));
}
std::string bytes_field(int field, std::string_view bytes) {
  return field_header(field, 2) + varint(bytes.size()) + std::string(bytes);
}
std::string float_field(int field, float value) {
  return field_header(field, 5) + little_endian(std::bit_cast<uint32_t>(value));
}

std::string frame(const std::string& data) {
  const std::string length = little_endian(uint64_t(data.size()));
  return length + little_endian(masked_crc32c(length)) + data + little_endian(masked_crc32c(data));
}

double unix_now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

Path new_event_file(const Path& folder) {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  std::replace(std::begin(host), std::end(host), '/', '_');
  return folder / fmt::format("events.out.tfevents.{}.{}", int64_t(unix_now()), *host ? host : "localhost");
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = make_crc_table();
  uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) crc = (crc >> 8) ^ kTable[(crc ^ uint8_t(byte)) & 0xFF];
  return crc ^ 0xFFFFFFFF;
}

uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

std::string tensorboard_version_record(double unix_time) {
  return frame(double_field(1, unix_time) + bytes_field(3, "brain.Event:2"));
}

std::string tensorboard_scalar_record(double unix_time, int64_t step, const NamedValues& values) {
  std::string summary;
  for (const auto& [tag, value] : values) summary += bytes_field(1, bytes_field(1, tag) + float_field(2, float(value)));
  return frame(double_field(1, unix_time) + varint_field(2, step) + bytes_field(5, summary));
}

TensorboardWriter::TensorboardWriter(const Path& folder) : file_(new_event_file(folder)) {
  file_.append(tensorboard_version_record(unix_now()));
}

void TensorboardWriter::write(double unix_time, int64_t step, const NamedValues& values) {
  file_.append(tensorboard_scalar_record(unix_time, step, values));
}

}  // namespace tenth
