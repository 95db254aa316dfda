// GGUF files for tests, made field by field, so that any of them can be wrong.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace tenth::testing {

class GgufBytes {
 public:
  GgufBytes(uint64_t tensors, uint64_t entries, uint32_t version = 3) {
    bytes_ = "GGUF";
    number(version);
    number(tensors);
    number(entries);
  }

  template <class T>
  GgufBytes& number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
    return *this;
  }
  GgufBytes& text(std::string_view value) {
    number(uint64_t(value.size()));
    bytes_.append(value);
    return *this;
  }
  // A metadata entry of a plain number.
  template <class T>
  GgufBytes& entry(std::string_view key, uint32_t type, T value) {
    return text(key).number(type).number(value);
  }
  GgufBytes& entry(std::string_view key, std::string_view value) { return text(key).number(uint32_t(8)).text(value); }
  GgufBytes& tensor(std::string_view name, std::initializer_list<uint64_t> dims, uint32_t type, uint64_t offset) {
    text(name).number(uint32_t(dims.size()));
    for (const uint64_t dim : dims) number(dim);
    return number(type).number(offset);
  }
  GgufBytes& pad(size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment, '\0');
    return *this;
  }
  GgufBytes& data(size_t bytes) {
    bytes_.append(bytes, '\1');
    return *this;
  }

  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace tenth::testing
