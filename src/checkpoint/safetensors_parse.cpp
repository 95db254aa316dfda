// The header of a safetensors file: read by events, so that what does not belong is refused where it stands and nothing
// is kept but the tensors; then the rules that tie types, shapes, offsets and the size of the file together.
#include <algorithm>
#include <cstring>
#include <optional>

#include "base/json.h"
#include "checkpoint/file_types.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_text.h"

namespace tenth {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;
constexpr size_t kMaxRank = 64;  // what PyTorch and NumPy can hold

struct Entry {
  StoredTensor tensor;
  uint64_t begin = 0, end = 0;
};

// Receives the events of the JSON parser. The interface is nlohmann's json_sax.
class HeaderEvents {
 public:
  explicit HeaderEvents(std::string_view file) : file_(file) {}

  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  bool null() { refuse("null"); }
  bool boolean(bool) { refuse("a boolean"); }
  bool number_integer(int64_t value) { refuse(fmt::format("{}", value)); }
  bool number_float(double, const std::string&) { refuse("a number that is no integer below 2^64"); }
  bool binary(Json::binary_t&) { refuse("binary data"); }

  bool number_unsigned(uint64_t value) {
    if (place_ == Place::kShape) {
      auto& shape = entries.back().tensor.shape;
      if (value > uint64_t(INT64_MAX)) refuse(fmt::format("{}", value));
      if (shape.size() == kMaxRank) refuse(fmt::format("more than {} dimensions", kMaxRank));
      shape.push_back(int64_t(value));
    } else if (place_ == Place::kOffsets && offsets_ < 2) {
      (offsets_++ == 0 ? entries.back().begin : entries.back().end) = value;
    } else {
      refuse(fmt::format("{}{}", place_ == Place::kOffsets ? "a third number, " : "", value));
    }
    return true;
  }

  bool string(std::string& value) {
    if (place_ == Place::kMetadata) {
      metadata[field_] = std::move(value);
    } else if (place_ == Place::kEntry && field_ == "dtype") {
      const FileType* type = find_file_type(value);
      if (!type) refuse(fmt::format("\"{}\"", name_text(value)));
      entries.back().tensor.dtype = type->name;
    } else {
      refuse("a string");
    }
    return true;
  }

  bool start_object(size_t) {
    if (place_ == Place::kOutside) {
      place_ = Place::kHeader;
    } else if (place_ == Place::kHeader && name_ == "__metadata__") {
      require(!has_metadata_, ErrorKind::kInput, "{}: header: __metadata__ stands there twice", file_);
      has_metadata_ = true;
      place_ = Place::kMetadata;
    } else if (place_ == Place::kHeader) {
      StoredTensor& tensor = entries.emplace_back().tensor;
      tensor.name = std::move(name_);
      tensor.file = file_;
      seen_ = 0;
      place_ = Place::kEntry;
    } else {
      refuse("an object");
    }
    return true;
  }

  bool key(std::string& key) {
    if (place_ == Place::kHeader) {
      name_ = std::move(key);
      return true;
    }
    field_ = std::move(key);
    if (place_ == Place::kMetadata) {
      require(!metadata.contains(field_), ErrorKind::kInput, "{}: __metadata__: key {} stands there twice", file_,
              name_text(field_));
      return true;
    }
    const unsigned bit = field_ == "dtype" ? 1 : field_ == "shape" ? 2 : field_ == "data_offsets" ? 4 : 0;
    require(bit && !(seen_ & bit), ErrorKind::kInput,
            "{}: tensor {}: expected dtype, shape and data_offsets, each once, got {} {}", file_,
            name_text(entries.back().tensor.name), bit ? "again" : "a field", name_text(field_));
    seen_ |= bit;
    return true;
  }

  bool end_object() {
    if (place_ == Place::kEntry) {
      require(seen_ == 7, ErrorKind::kInput, "{}: tensor {}: expected dtype, shape and data_offsets, got no {}", file_,
              name_text(entries.back().tensor.name),
              !(seen_ & 1)   ? "dtype"
              : !(seen_ & 2) ? "shape"
                             : "data_offsets");
    }
    place_ = place_ == Place::kHeader ? Place::kOutside : Place::kHeader;
    return true;
  }

  bool start_array(size_t) {
    if (place_ != Place::kEntry || field_ == "dtype") refuse("an array");
    place_ = field_ == "shape" ? Place::kShape : Place::kOffsets;
    offsets_ = 0;
    return true;
  }

  bool end_array() {
    if (place_ == Place::kOffsets && offsets_ != 2) refuse(fmt::format("{} numbers", offsets_));
    place_ = Place::kEntry;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception& error) {
    // Of the parser's text, the part between its preface and a quotation of the file, which may be long.
    std::string_view reason = error.what();
    reason = reason.substr(0, std::min(reason.find("; last read"), reason.find(" parsing '")));
    for (std::string_view preface : {"] ", "syntax error "}) {
      if (const size_t place = reason.find(preface); place != reason.npos) reason.remove_prefix(place + preface.size());
    }
    fail(ErrorKind::kInput, "{}: header: not valid JSON at its byte {}: {}", file_, position, reason);
  }

 private:
  enum class Place { kOutside, kHeader, kMetadata, kEntry, kShape, kOffsets };

  [[noreturn]] void refuse(const std::string& got) const {
    switch (place_) {
      case Place::kOutside: fail(ErrorKind::kInput, "{}: header: expected an object, got {}", file_, got);
      case Place::kHeader:
        fail(ErrorKind::kInput, "{}: header: {}: expected an object, got {}", file_, name_text(name_), got);
      case Place::kMetadata:
        fail(ErrorKind::kInput, "{}: __metadata__: {}: expected a string, got {}", file_, name_text(field_), got);
      default: break;
    }
    const char* expected = field_ == "dtype"   ? "the name of a type, such as \"F32\""
                           : field_ == "shape" ? "an array of integers from 0 to 2^63 - 1"
                                               : "two integers from 0 to 2^64 - 1";
    fail(ErrorKind::kInput, "{}: tensor {}: {}: expected {}, got {}", file_, name_text(entries.back().tensor.name),
         field_, expected, got);
  }

  std::string_view file_;
  Place place_ = Place::kOutside;
  std::string name_, field_;
  unsigned seen_ = 0;  // fields of the entry: 1 dtype, 2 shape, 4 data_offsets
  int offsets_ = 0;
  bool has_metadata_ = false;
};

// The header's text: checks the length before anything is read.
std::string_view header_text(std::span<const std::byte> bytes, std::string_view file) {
  require(bytes.size() >= 8, ErrorKind::kInput, "{}: expected a safetensors file of at least 8 bytes, got {}", file,
          bytes.size());
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  require(length <= kMaxHeader, ErrorKind::kInput,
          "{}: header length: expected at most {} bytes, got {} (is it a safetensors file?)", file, kMaxHeader, length);
  require(length <= bytes.size() - 8, ErrorKind::kInput,
          "{}: header length: {} bytes, but only {} follow: the file is cut short", file, length, bytes.size() - 8);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  require(text.starts_with('{'), ErrorKind::kInput, "{}: header: expected {{ as the first byte, got {}", file,
          text.empty() ? "an empty header" : fmt::format("0x{:02x}", uint8_t(text[0])));
  // The JSON parser takes a NUL for the end of its input.
  require(text.find('\0') == text.npos, ErrorKind::kInput, "{}: header: expected text, got a NUL byte", file);
  return text;
}

void check_names(const std::vector<Entry>& entries, std::string_view file) {
  std::vector<std::string_view> names;
  for (const Entry& entry : entries) names.push_back(entry.tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  require(twice == names.end(), ErrorKind::kInput, "{}: tensor {}: stands in the header twice", file,
          twice == names.end() ? "" : name_text(*twice));
}

// Data of the tensors must lie end to end, from 0 to the end of the file.
void check_places(const std::vector<Entry>& entries, uint64_t data_bytes, std::string_view file) {
  uint64_t place = 0;
  for (const Entry& entry : entries) {
    const StoredTensor& tensor = entry.tensor;
    require(entry.begin == place && entry.end >= place, ErrorKind::kInput,
            "{}: tensor {}: data_offsets: expected to begin at {}, where the data before it ends, got [{}, {}]", file,
            name_text(tensor.name), place, entry.begin, entry.end);
    const auto bytes = stored_bytes(*find_file_type(tensor.dtype), tensor.shape);
    require(bytes.has_value(), ErrorKind::kInput,
            "{}: tensor {}: expected a size of whole bytes below 2^63, got shape {} of {}", file,
            name_text(tensor.name), shape_text(tensor.shape), tensor.dtype);
    require(entry.end - entry.begin == *bytes, ErrorKind::kInput,
            "{}: tensor {}: data_offsets: expected {} bytes for shape {} of {}, got {}", file, name_text(tensor.name),
            *bytes, shape_text(tensor.shape), tensor.dtype, entry.end - entry.begin);
    place = entry.end;
  }
  require(place == data_bytes, ErrorKind::kInput, "{}: expected {} bytes of data after the header, got {}{}", file,
          place, data_bytes, place > data_bytes ? ": the file is cut short" : "");
}

}  // namespace

std::optional<uint64_t> stored_bytes(const FileType& type, std::span<const int64_t> shape) {
  // Dimensions of 0 count as 1 here, so that strides of an empty tensor do not overflow either.
  uint64_t bits = uint64_t(type.bits);
  bool empty = false;
  for (int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(bits, uint64_t(std::max<int64_t>(dim, 1)), &bits)) return std::nullopt;
    empty |= dim == 0;
  }
  if (empty) return 0;
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

std::string name_text(std::string_view name) {
  constexpr size_t kLongest = 160;
  std::string text = Json(name.substr(0, kLongest)).dump(-1, ' ', true, Json::error_handler_t::replace);
  text = text.substr(1, text.size() - 2);
  return name.size() > kLongest ? text + "…" : text;
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); i++) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

SafetensorsContent parse_safetensors(std::span<const std::byte> bytes, std::string_view file_name) {
  const std::string_view text = header_text(bytes, file_name);
  HeaderEvents events(file_name);
  Json::sax_parse(text.begin(), text.end(), &events);
  std::vector<Entry>& entries = events.entries;
  check_names(entries, file_name);
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  const std::span<const std::byte> data = bytes.subspan(8 + text.size());
  check_places(entries, data.size(), file_name);

  SafetensorsContent content;
  content.metadata = std::move(events.metadata);
  content.tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    entry.tensor.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    content.tensors.push_back(std::move(entry.tensor));
  }
  return content;
}

}  // namespace tenth
