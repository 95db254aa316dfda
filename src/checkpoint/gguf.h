// GGUF version 3 (and 2, which is laid out alike): metadata and tensors in one file, llama.cpp's form of a model.
//
//   "GGUF", u32 version, u64 tensors, u64 metadata entries
//   entries     key, u32 type, value               (a text is a u64 length and bytes; an array u32 type, u64 count, …)
//   tensors     name, u32 rank, u64 dims[rank] (fastest first), u32 type, u64 offset from the beginning of the data
//   padding     to a multiple of general.alignment (32)
//   the data    in the order of the tensors, each padded to the alignment
//
// Source: ggml's docs/gguf.md. All of the header is checked before anything of a file is used; what breaks a rule
// throws kInput in one line (file, field, expected, got). Memory is linear in the header's bytes; no count is believed
// before its elements are there.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "tensor/block_format.h"

namespace tenth {

enum class GgufValueType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kText, kArray, kU64, kI64, kF64 };

struct GgufValue {
  GgufValueType type;
  GgufValueType element;             // of an array
  uint64_t count = 1;                // elements of an array
  std::span<const std::byte> bytes;  // the value, or an array's elements, as they lie in the file
};

// The metadata of a file; views into the file's bytes. Readers throw kInput where the type or the range does not fit,
// and, without a fallback, where the key is absent.
class GgufMetadata {
 public:
  const std::string& file() const { return file_; }
  const std::map<std::string_view, GgufValue>& values() const { return values_; }
  const GgufValue* find(std::string_view key) const;  // null if it is not there
  bool has(std::string_view key) const { return find(key) != nullptr; }

  int64_t integer(std::string_view key) const;  // of any integer type, if it fits
  int64_t integer(std::string_view key, int64_t fallback) const;
  // Of f32, f64 or an integer type. An f32 is the shortest decimal that it can stand for: 1e-6, not 9.99999997e-7.
  double real(std::string_view key) const;
  double real(std::string_view key, double fallback) const;
  bool flag(std::string_view key, bool fallback) const;
  std::string_view text(std::string_view key) const;  // any bytes: not checked to be UTF-8
  std::string_view text(std::string_view key, std::string_view fallback) const;
  // Arrays; empty where the key is absent.
  std::vector<std::string_view> texts(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;
  std::vector<double> reals(std::string_view key) const;

 private:
  friend struct GgufParser;
  std::string file_;
  std::map<std::string_view, GgufValue> values_;
};

// A type of tensors: plain elements, or a block format. A block is one element of plain types.
struct GgufTensorType {
  uint32_t code;
  std::string_view name;    // "F32", "Q4_K", …; plain types have the names of file_types()
  int64_t elements, bytes;  // of a block
  std::optional<BlockFormat> block;
  bool supported;  // whether its numbers can be read
};
const GgufTensorType* find_gguf_type(std::string_view name);  // null if there is none of that name

struct GgufTensor {
  std::string_view name;
  const GgufTensorType* type;
  std::vector<int64_t> shape;        // row-major: the file's dims, reversed; at most 4
  std::span<const std::byte> bytes;  // aligned to general.alignment within the file
  std::string_view file;
};

struct GgufContent {
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // in the order of their data
};
// What a whole file in memory says; its views point into bytes and file_name.
GgufContent parse_gguf(std::span<const std::byte> bytes, std::string_view file_name);

// A .gguf file, mapped, with the other parts of a split one (…-00001-of-00003.gguf: open the first). A file that
// another process shortens while it is open ends this one (SIGBUS).
class GgufFile {
 public:
  static GgufFile open(const Path& path);

  const GgufMetadata& metadata() const { return parts_[0]->content.metadata; }
  const std::vector<const GgufTensor*>& tensors() const { return by_name_; }  // sorted by name
  const GgufTensor* find(std::string_view name) const;                        // null if it is not there

 private:
  struct Part {
    explicit Part(const Path& path);
    MappedFile map;
    std::string file_name;
    GgufContent content;
  };
  std::vector<std::unique_ptr<Part>> parts_;
  std::vector<const GgufTensor*> by_name_;
};

// Whether a path names a .gguf file, by its ending.
bool is_gguf(const Path& path);

}  // namespace tenth
