// Reading GGUF: one pass over the header by a cursor that checks each field against the bytes that are left.
#include "checkpoint/gguf.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "checkpoint/safetensors_text.h"

namespace tenth {
namespace {

constexpr uint64_t kMaxKey = 65535, kMaxName = 64, kMaxElements = uint64_t(1) << 30;
constexpr int kMaxNesting = 4;  // of arrays in arrays, which no known key uses
constexpr uint64_t kMaxAlignment = 1 << 16;

constexpr std::string_view kTypeNames[] = {"u8",   "i8",   "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "text", "array", "u64", "i64", "f64"};
constexpr size_t kTypeSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};  // 0: none of its own

constexpr GgufTensorType block(uint32_t code, std::string_view name, BlockFormat format, int64_t elements,
                               int64_t bytes) {
  return {code, name, elements, bytes, format, true};
}

// Codes and sizes: ggml.h and gguf-py's constants. Types without a reader here are known by size, so that a file that
// holds them can be listed.
constexpr GgufTensorType kTensorTypes[] = {
    {0, "F32", 1, 4, {}, true},
    {1, "F16", 1, 2, {}, true},
    block(2, "Q4_0", BlockFormat::kQ4_0, 32, 18),
    block(3, "Q4_1", BlockFormat::kQ4_1, 32, 20),
    block(6, "Q5_0", BlockFormat::kQ5_0, 32, 22),
    block(7, "Q5_1", BlockFormat::kQ5_1, 32, 24),
    block(8, "Q8_0", BlockFormat::kQ8_0, 32, 34),
    block(10, "Q2_K", BlockFormat::kQ2K, 256, 84),
    block(11, "Q3_K", BlockFormat::kQ3K, 256, 110),
    block(12, "Q4_K", BlockFormat::kQ4K, 256, 144),
    block(13, "Q5_K", BlockFormat::kQ5K, 256, 176),
    block(14, "Q6_K", BlockFormat::kQ6K, 256, 210),
    {16, "IQ2_XXS", 256, 66, {}, false},
    {17, "IQ2_XS", 256, 74, {}, false},
    {18, "IQ3_XXS", 256, 98, {}, false},
    {19, "IQ1_S", 256, 50, {}, false},
    block(20, "IQ4_NL", BlockFormat::kIq4Nl, 32, 18),
    {21, "IQ3_S", 256, 110, {}, false},
    {22, "IQ2_S", 256, 82, {}, false},
    block(23, "IQ4_XS", BlockFormat::kIq4Xs, 256, 136),
    {24, "I8", 1, 1, {}, true},
    {25, "I16", 1, 2, {}, true},
    {26, "I32", 1, 4, {}, true},
    {27, "I64", 1, 8, {}, true},
    {28, "F64", 1, 8, {}, true},
    {29, "IQ1_M", 256, 56, {}, false},
    {30, "BF16", 1, 2, {}, true},
    {34, "TQ1_0", 256, 54, {}, false},
    {35, "TQ2_0", 256, 66, {}, false},
    block(39, "MXFP4", BlockFormat::kMxfp4, 32, 17),
    {40, "NVFP4", 64, 36, {}, false},
};

const GgufTensorType* find_type(uint32_t code) {
  for (const GgufTensorType& type : kTensorTypes) {
    if (type.code == code) return &type;
  }
  return nullptr;
}

std::string_view name_of(GgufValueType type) { return kTypeNames[size_t(type)]; }

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Reads fields one after another; what_ says in errors which one.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string_view file) : bytes_(bytes), file_(file) {}

  uint64_t place() const { return at_; }
  uint64_t left() const { return bytes_.size() - at_; }
  std::span<const std::byte> since(uint64_t begin) const { return bytes_.subspan(begin, at_ - begin); }

  std::span<const std::byte> take(uint64_t count, std::string_view what) {
    require(count <= left(), ErrorKind::kInput, "{}: {}: expected {} more bytes, got {}: the file is cut short", file_,
            what, count, left());
    return bytes_.subspan(std::exchange(at_, at_ + count), count);
  }
  template <class T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::string_view text(std::string_view what, uint64_t limit) {
    const auto length = number<uint64_t>(what);
    require(length <= limit, ErrorKind::kInput, "{}: {}: expected a text of at most {} bytes, got {}", file_, what,
            limit, length);
    return as_text(take(length, what));
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;
  std::string_view file_;
};

// An element of an array of plain numbers.
template <class Result>
Result number_at(GgufValueType type, const std::byte* bytes) {
  const auto read = [&]<class T>(T value) {
    std::memcpy(&value, bytes, sizeof(T));
    return Result(value);
  };
  switch (type) {
    case GgufValueType::kU8:
    case GgufValueType::kBool: return read(uint8_t());
    case GgufValueType::kI8: return read(int8_t());
    case GgufValueType::kU16: return read(uint16_t());
    case GgufValueType::kI16: return read(int16_t());
    case GgufValueType::kU32: return read(uint32_t());
    case GgufValueType::kI32: return read(int32_t());
    case GgufValueType::kF32: return read(float());
    case GgufValueType::kU64: return read(uint64_t());
    case GgufValueType::kI64: return read(int64_t());
    case GgufValueType::kF64: return read(double());
    default: return Result();
  }
}

bool is_integer(GgufValueType type) {
  return kTypeSizes[size_t(type)] != 0 && type != GgufValueType::kF32 && type != GgufValueType::kF64 &&
         type != GgufValueType::kBool;
}
bool is_real(GgufValueType type) {
  return is_integer(type) || type == GgufValueType::kF32 || type == GgufValueType::kF64;
}

[[noreturn]] void refuse(const GgufMetadata& in, std::string_view key, std::string_view expected,
                         const GgufValue* value) {
  const std::string got = !value ? "no such key"
                          : value->type != GgufValueType::kArray
                              ? std::string(name_of(value->type))
                              : fmt::format("an array of {}", name_of(value->element));
  fail(ErrorKind::kInput, "{}: metadata {}: expected {}, got {}", in.file(), key, expected, got);
}

int64_t to_integer(const GgufMetadata& in, std::string_view key, GgufValueType type, const std::byte* bytes) {
  if (type == GgufValueType::kU64) {
    const auto value = number_at<uint64_t>(type, bytes);
    require(value <= uint64_t(INT64_MAX), ErrorKind::kInput, "{}: metadata {}: expected a number below 2^63, got {}",
            in.file(), key, value);
  }
  return number_at<int64_t>(type, bytes);
}

double to_real(const GgufMetadata& in, std::string_view key, GgufValueType type, const std::byte* bytes) {
  auto value = number_at<double>(type, bytes);
  if (type == GgufValueType::kF32) value = std::strtod(fmt::format("{}", float(value)).c_str(), nullptr);
  require(std::isfinite(value), ErrorKind::kInput, "{}: metadata {}: expected a finite number, got {}", in.file(), key,
          value);
  return value;
}

std::vector<std::string> part_names(const Path& first, int64_t count) {
  const std::string name = first.filename().string(), ending = fmt::format("-00001-of-{:05}.gguf", count);
  require(name.ends_with(ending), ErrorKind::kInput,
          "{}: metadata split.count: {} parts, so expected a file name that ends in {}", first.string(), count, ending);
  std::vector<std::string> names;
  for (int64_t i = 1; i <= count; i++)
    names.push_back(fmt::format("{}-{:05}-of-{:05}.gguf", name.substr(0, name.size() - ending.size()), i, count));
  return names;
}

}  // namespace

const GgufTensorType* find_gguf_type(std::string_view name) {
  for (const GgufTensorType& type : kTensorTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto place = values_.find(key);
  return place == values_.end() ? nullptr : &place->second;
}

int64_t GgufMetadata::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value || !is_integer(value->type)) refuse(*this, key, "a whole number", value);
  return to_integer(*this, key, value->type, value->bytes.data());
}
int64_t GgufMetadata::integer(std::string_view key, int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}

double GgufMetadata::real(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value || !is_real(value->type)) refuse(*this, key, "a number", value);
  return to_real(*this, key, value->type, value->bytes.data());
}
double GgufMetadata::real(std::string_view key, double fallback) const { return has(key) ? real(key) : fallback; }

bool GgufMetadata::flag(std::string_view key, bool fallback) const {
  const GgufValue* value = find(key);
  if (!value) return fallback;
  if (value->type != GgufValueType::kBool) refuse(*this, key, "a bool", value);
  return value->bytes[0] != std::byte(0);
}

std::string_view GgufMetadata::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value || value->type != GgufValueType::kText) refuse(*this, key, "a text", value);
  return as_text(value->bytes);
}
std::string_view GgufMetadata::text(std::string_view key, std::string_view fallback) const {
  return has(key) ? text(key) : fallback;
}

std::vector<std::string_view> GgufMetadata::texts(std::string_view key) const {
  std::vector<std::string_view> all;
  const GgufValue* value = find(key);
  if (!value) return all;
  if (value->type != GgufValueType::kArray || value->element != GgufValueType::kText)
    refuse(*this, key, "an array of text", value);
  Cursor cursor(value->bytes, file_);
  for (uint64_t i = 0; i < value->count; i++) all.push_back(cursor.text(key, UINT64_MAX));
  return all;
}

std::vector<int64_t> GgufMetadata::integers(std::string_view key) const {
  std::vector<int64_t> all;
  const GgufValue* value = find(key);
  if (!value) return all;
  if (value->type != GgufValueType::kArray || !is_integer(value->element))
    refuse(*this, key, "an array of whole numbers", value);
  for (uint64_t i = 0; i < value->count; i++)
    all.push_back(to_integer(*this, key, value->element, value->bytes.data() + i * kTypeSizes[size_t(value->element)]));
  return all;
}

std::vector<double> GgufMetadata::reals(std::string_view key) const {
  std::vector<double> all;
  const GgufValue* value = find(key);
  if (!value) return all;
  if (value->type != GgufValueType::kArray || !is_real(value->element))
    refuse(*this, key, "an array of numbers", value);
  for (uint64_t i = 0; i < value->count; i++)
    all.push_back(to_real(*this, key, value->element, value->bytes.data() + i * kTypeSizes[size_t(value->element)]));
  return all;
}

struct GgufParser {
  GgufParser(std::span<const std::byte> all, std::string_view name) : bytes(all), file(name), in(all, name) {
    content.metadata.file_ = name;
  }

  void parse() {
    const std::string_view magic = as_text(in.take(4, "magic"));
    require(magic == "GGUF", ErrorKind::kInput, "{}: magic: expected GGUF, got {}", file, name_text(magic));
    const auto version = in.number<uint32_t>("version");
    require(version != __builtin_bswap32(3), ErrorKind::kUnsupported,
            "{}: version: expected a little-endian file, got a big-endian one", file);
    require(version == 2 || version == 3, ErrorKind::kUnsupported, "{}: version: expected 2 or 3, got {}", file,
            version);
    const auto tensors = in.number<uint64_t>("tensor count"), entries = in.number<uint64_t>("metadata count");
    // The shortest entry is 14 bytes (a key of one letter and a byte), the shortest tensor 25.
    require(entries <= in.left() / 14, ErrorKind::kInput,
            "{}: metadata count: expected at most {} entries in {} bytes, got {}", file, in.left() / 14, in.left(),
            entries);
    require(tensors <= in.left() / 25, ErrorKind::kInput,
            "{}: tensor count: expected at most {} tensors in {} bytes, got {}", file, in.left() / 25, in.left(),
            tensors);
    for (uint64_t i = 0; i < entries; i++) metadata_entry();
    for (uint64_t i = 0; i < tensors; i++) tensor_entry();
    check_names();
    places();
  }

  void metadata_entry() {
    const std::string_view key = in.text("metadata key", kMaxKey);
    const bool plain = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 127; });
    require(plain, ErrorKind::kInput, "{}: metadata key: expected letters of ASCII, got {}", file,
            key.empty() ? "an empty text" : name_text(key));
    const std::string what = "metadata " + name_text(key);
    GgufValue value;
    value.type = value_type(what);
    read_value(value, what, 0);
    require(content.metadata.values_.emplace(key, value).second, ErrorKind::kInput, "{}: {}: stands there twice", file,
            what);
  }

  GgufValueType value_type(std::string_view what) {
    const auto code = in.number<uint32_t>(what);
    require(code < std::size(kTypeNames), ErrorKind::kInput, "{}: {}: expected a type of 0 … {}, got {}", file, what,
            std::size(kTypeNames) - 1, code);
    return GgufValueType(code);
  }

  // Fills in the bytes of a value, and count and element of an array.
  void read_value(GgufValue& value, std::string_view what, int depth) {
    if (value.type == GgufValueType::kText) {
      const auto text = in.text(what, UINT64_MAX);
      value.bytes = std::as_bytes(std::span(text.data(), text.size()));
    } else if (value.type == GgufValueType::kArray) {
      read_array(value, what, depth + 1);
    } else {
      value.bytes = in.take(kTypeSizes[size_t(value.type)], what);
      check_bools(value, what);
    }
  }

  void read_array(GgufValue& value, std::string_view what, int depth) {
    require(depth <= kMaxNesting, ErrorKind::kInput, "{}: {}: expected arrays at most {} deep", file, what,
            kMaxNesting);
    value.element = value_type(what);
    value.count = in.number<uint64_t>(what);
    const size_t size = kTypeSizes[size_t(value.element)];
    const uint64_t least = size ? size : value.element == GgufValueType::kText ? 8 : 12;
    require(value.count <= kMaxElements && value.count <= in.left() / least, ErrorKind::kInput,
            "{}: {}: expected at most {} elements of {}, got {}: the file is cut short or damaged", file, what,
            std::min(kMaxElements, in.left() / least), name_of(value.element), value.count);
    const uint64_t begin = in.place();
    if (size) {
      value.bytes = in.take(value.count * size, what);
      check_bools(value, what);
      return;
    }
    for (uint64_t i = 0; i < value.count; i++) {
      GgufValue element;
      element.type = value.element;
      read_value(element, what, depth);
    }
    value.bytes = in.since(begin);
  }

  void check_bools(const GgufValue& value, std::string_view what) const {
    if (value.type != GgufValueType::kBool &&
        !(value.type == GgufValueType::kArray && value.element == GgufValueType::kBool))
      return;
    for (const std::byte byte : value.bytes)
      require(uint8_t(byte) <= 1, ErrorKind::kInput, "{}: {}: expected a bool of 0 or 1, got {}", file, what,
              uint8_t(byte));
  }

  void tensor_entry() {
    GgufTensor tensor;
    tensor.name = in.text("tensor name", kMaxName);
    tensor.file = file;
    const std::string what = "tensor " + name_text(tensor.name);
    const auto rank = in.number<uint32_t>(what);
    require(rank <= 4, ErrorKind::kInput, "{}: {}: expected at most 4 dimensions, got {}", file, what, rank);
    uint64_t count = 1;
    for (uint32_t i = 0; i < rank; i++) {
      const auto dim = in.number<uint64_t>(what);
      require(dim >= 1 && dim <= uint64_t(INT64_MAX) && !__builtin_mul_overflow(count, dim, &count) &&
                  count <= uint64_t(INT64_MAX) / 8,
              ErrorKind::kInput, "{}: {}: dimension {}: expected 1 or more, below 2^60 together, got {}", file, what, i,
              dim);
      tensor.shape.insert(tensor.shape.begin(), int64_t(dim));
    }
    const auto code = in.number<uint32_t>(what);
    tensor.type = find_type(code);
    require(tensor.type != nullptr, ErrorKind::kUnsupported, "{}: {}: expected a known type, got code {}", file, what,
            code);
    const int64_t row = rank ? tensor.shape.back() : 1;
    require(row % tensor.type->elements == 0, ErrorKind::kInput, "{}: {}: expected rows of whole blocks of {}, got {}",
            file, what, tensor.type->elements, row);
    sizes.push_back(count / uint64_t(tensor.type->elements) * uint64_t(tensor.type->bytes));
    offsets.push_back(in.number<uint64_t>(what));
    content.tensors.push_back(std::move(tensor));
  }

  void check_names() const {
    std::vector<std::string_view> names;
    for (const GgufTensor& tensor : content.tensors) names.push_back(tensor.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    require(twice == names.end(), ErrorKind::kInput, "{}: tensor {}: stands in the file twice", file,
            twice == names.end() ? "" : name_text(*twice));
  }

  // Each tensor must begin where the padded sum of those before it ends, and lie within the file.
  void places() {
    const int64_t alignment = content.metadata.integer("general.alignment", 32);
    require(alignment >= 1 && alignment <= int64_t(kMaxAlignment) && std::has_single_bit(uint64_t(alignment)),
            ErrorKind::kInput, "{}: metadata general.alignment: expected a power of two up to {}, got {}", file,
            kMaxAlignment, alignment);
    const auto padded = [&](uint64_t at) {
      return (at + uint64_t(alignment) - 1) / uint64_t(alignment) * uint64_t(alignment);
    };
    const uint64_t begin = std::min<uint64_t>(padded(in.place()), bytes.size()), room = bytes.size() - begin;
    uint64_t place = 0;
    for (size_t i = 0; i < sizes.size(); i++) {
      GgufTensor& tensor = content.tensors[i];
      require(offsets[i] == place, ErrorKind::kInput,
              "{}: tensor {}: offset: expected {}, where the data before it ends, got {}", file, name_text(tensor.name),
              place, offsets[i]);
      require(place <= room && sizes[i] <= room - place, ErrorKind::kInput,
              "{}: tensor {}: expected {} bytes of data at {}, the file ends after {}: it is cut short", file,
              name_text(tensor.name), sizes[i], place, room);
      tensor.bytes = bytes.subspan(begin + place, sizes[i]);
      place = padded(place + sizes[i]);
    }
  }

  std::span<const std::byte> bytes;
  std::string_view file;
  Cursor in;
  GgufContent content;
  std::vector<uint64_t> sizes, offsets;  // of the tensors
};

GgufContent parse_gguf(std::span<const std::byte> bytes, std::string_view file_name) {
  GgufParser parser(bytes, file_name);
  parser.parse();
  return std::move(parser.content);
}

GgufFile::Part::Part(const Path& path)
    : map(path), file_name(path.string()), content(parse_gguf(map.bytes(), file_name)) {}

GgufFile GgufFile::open(const Path& path) {
  GgufFile file;
  file.parts_.push_back(std::make_unique<Part>(path));
  const GgufMetadata& metadata = file.metadata();
  const int64_t count = metadata.integer("split.count", 1), number = metadata.integer("split.no", 0);
  require(number == 0, ErrorKind::kInput, "{}: metadata split.no: expected 0, got {}: open the first part",
          path.string(), number);
  require(count >= 0 && count <= 99999, ErrorKind::kInput, "{}: metadata split.count: expected 1 … 99999, got {}",
          path.string(), count);
  if (count > 1) {
    const std::vector<std::string> names = part_names(path, count);
    for (size_t i = 1; i < names.size(); i++) {
      const auto& part = file.parts_.emplace_back(std::make_unique<Part>(path.parent_path() / names[i]));
      const int64_t got = part->content.metadata.integer("split.no");
      require(got == int64_t(i), ErrorKind::kInput, "{}: metadata split.no: expected {}, got {}", part->file_name, i,
              got);
    }
  }
  for (const auto& part : file.parts_) {
    for (const GgufTensor& tensor : part->content.tensors) file.by_name_.push_back(&tensor);
  }
  const int64_t total = metadata.integer("split.tensors.count", int64_t(file.by_name_.size()));
  require(total == int64_t(file.by_name_.size()), ErrorKind::kInput,
          "{}: metadata split.tensors.count: expected {}, the tensors of all parts, got {}", path.string(),
          file.by_name_.size(), total);
  auto& all = file.by_name_;
  std::sort(all.begin(), all.end(), [](auto* a, auto* b) { return a->name < b->name; });
  const auto twice = std::adjacent_find(all.begin(), all.end(), [](auto* a, auto* b) { return a->name == b->name; });
  require(twice == all.end(), ErrorKind::kInput, "{}: tensor {}: stands in two parts", path.string(),
          twice == all.end() ? "" : name_text((*twice)->name));
  return file;
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto place =
      std::lower_bound(by_name_.begin(), by_name_.end(), name, [](auto* t, auto n) { return t->name < n; });
  return place != by_name_.end() && (*place)->name == name ? *place : nullptr;
}

bool is_gguf(const Path& path) { return path.extension() == ".gguf"; }

}  // namespace tenth
