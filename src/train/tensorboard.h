// TensorBoard event files: TFRecord frames around Event messages (protocol buffers, written by hand: three fields).
//   frame = u64 length | u32 masked crc32c of the length | data | u32 masked crc32c of the data, little-endian
//   Event = 1 wall_time double, 2 step varint, 3 file_version string, 5 summary {1 value {1 tag, 2 simple_value float}}
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/append_file.h"

namespace tenth {

// Castagnoli's polynomial, reflected (0x82F63B78), as in RFC 3720.
uint32_t crc32c(std::string_view bytes);
// Rotated and shifted, so that a checksum of data that holds checksums stays sound.
uint32_t masked_crc32c(std::string_view bytes);

using NamedValues = std::vector<std::pair<std::string, double>>;

// Whole records, frame included. unix_time in seconds.
std::string tensorboard_version_record(double unix_time);
std::string tensorboard_scalar_record(double unix_time, int64_t step, const NamedValues& values);

class TensorboardWriter {
 public:
  // A new file events.out.tfevents.<unix seconds>.<host name> in the folder, which must exist.
  explicit TensorboardWriter(const Path& folder);
  void write(double unix_time, int64_t step, const NamedValues& values);
  const Path& path() const { return file_.path(); }

 private:
  AppendFile file_;
};

}  // namespace tenth
