// Safetensors: named tensors in one file, and Hugging Face's folders of sharded files.
//
//   bytes 0-7   N, little-endian u64
//   N bytes     a JSON object: "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …
//               and, optional, "__metadata__": {"key": "text", …}
//   the rest    the tensors, row-major, little-endian, end to end; offsets count from here
//
// Source: README and tensor.rs of huggingface/safetensors. A file is checked wholly before anything of it is used; what
// breaks a rule throws kInput in one line (file, tensor, expected, got).
#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "tensor/tensor.h"

namespace tenth {

// A tensor that lies in a file. The views live as long as the SafetensorsFile (or Set) that it came from.
struct StoredTensor {
  std::string name;
  std::string_view dtype;            // one of file_types()
  std::vector<int64_t> shape;        // any rank, no dimension negative
  std::span<const std::byte> bytes;  // need not be aligned
  std::string_view file;             // where it lies, for errors

  // A new tensor. Floats, integers and BOOL become any float type; integers become an integer type if every value fits.
  // Throws kInput where a value or the type does not fit, kUnsupported above four dimensions and for types that are
  // nothing without their scales (F8_…, F4).
  Tensor load(Device& device, DType dtype) const;
  // The same into an existing tensor or view of the same shape, whose rows may be apart.
  void load_into(const Tensor& destination) const;
};

// What a whole file in memory says; its views point into bytes and file_name. Throws kInput. The tensors are in the
// order of their data; the memory used is linear in the header, which is at most 100,000,000 bytes.
struct SafetensorsContent {
  std::vector<StoredTensor> tensors;
  std::map<std::string, std::string> metadata;
};
SafetensorsContent parse_safetensors(std::span<const std::byte> bytes, std::string_view file_name);

// One .safetensors file, mapped: a file that another process shortens while it is open ends this one (SIGBUS); writers
// that rename a new file into place, as write_safetensors does, are safe.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const Path& path);
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& file_name() const { return file_name_; }
  const std::vector<StoredTensor>& tensors() const { return content_.tensors; }  // in the order of their data
  const std::map<std::string, std::string>& metadata() const { return content_.metadata; }

  const StoredTensor* find(std::string_view name) const;  // null if it is not there
  const StoredTensor& at(std::string_view name) const;    // throws kInput if it is not there
  Tensor load(std::string_view name, Device& device, DType dtype) const { return at(name).load(device, dtype); }
  void load_into(std::string_view name, const Tensor& destination) const { at(name).load_into(destination); }

 private:
  MappedFile map_;
  std::string file_name_;
  SafetensorsContent content_;
  std::vector<const StoredTensor*> by_name_;
};

// The tensors of a model folder: model.safetensors, or else the files that model.safetensors.index.json names:
// {"metadata": {"total_size": bytes of all tensors}, "weight_map": {tensor: file}}. Throws kInput for an index with a
// file name outside the folder, a file or tensor that is absent, or another total (if it gives one).
class SafetensorsSet {
 public:
  static SafetensorsSet open(const Path& folder);

  const std::vector<const StoredTensor*>& tensors() const { return by_name_; }  // sorted by name
  const StoredTensor* find(std::string_view name) const;
  const StoredTensor& at(std::string_view name) const;
  Tensor load(std::string_view name, Device& device, DType dtype) const { return at(name).load(device, dtype); }
  void load_into(std::string_view name, const Tensor& destination) const { at(name).load_into(destination); }

 private:
  std::string where_;  // the file or index, for errors
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<const StoredTensor*> by_name_;
};

// A tensor to write: from a tensor, in its own type or another one; or from bytes that are ready for the file, all of
// them or piece by piece.
struct TensorToWrite {
  std::string name;
  Tensor tensor = {};               // rows may be apart; not defined: bytes
  std::string_view dtype = {};      // the type in the file; empty: the tensor's own. Float to float, integer to any
  std::vector<int64_t> shape = {};  // of bytes
  std::span<const std::byte> bytes = {};
  std::function<void(const ByteSink&)> write = {};  // instead of bytes; may be called again (write_file)
};

// Writes a file that is complete or absent (write_file), whose bytes depend on the tensors and metadata only, in
// whatever order they come: sorted by type (largest alignment first), then by name; the header padded with spaces to a
// multiple of 8. These are the bytes that Hugging Face's own writer makes. Throws kIo (the old file stays), kInternal
// for two tensors of one name, a size that does not fit its shape, or an impossible conversion.
void write_safetensors(const Path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace tenth
