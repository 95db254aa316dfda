// Finding tensors in a file or a folder of files, and loading them.
#include "checkpoint/safetensors.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/threads.h"
#include "checkpoint/file_types.h"
#include "checkpoint/runs.h"
#include "checkpoint/safetensors_text.h"

namespace tenth {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr size_t kMaxIndex = size_t(32) << 20;  // bytes: some 300,000 tensors

// One thread that reads a map and touches new memory takes twice as long as two.
void copy_in_parallel(Device& device, void* to, std::span<const std::byte> from) {
  parallel_for(int64_t(from.size()), 1 << 20, [&](int64_t begin, int64_t end) {
    device.copy_from_host(static_cast<std::byte*>(to) + begin, from.data() + begin, size_t(end - begin));
  });
}

using ByName = std::vector<const StoredTensor*>;

void sort_by_name(ByName& tensors) {
  std::sort(tensors.begin(), tensors.end(), [](auto* a, auto* b) { return a->name < b->name; });
}

const StoredTensor* find_by_name(const ByName& tensors, std::string_view name) {
  const auto place =
      std::lower_bound(tensors.begin(), tensors.end(), name, [](auto* t, auto n) { return t->name < n; });
  return place != tensors.end() && (*place)->name == name ? *place : nullptr;
}

const StoredTensor& required(const StoredTensor* tensor, std::string_view name, std::string_view where) {
  require(tensor != nullptr, ErrorKind::kInput, "{}: expected a tensor {}, found none of that name", where,
          name_text(name));
  return *tensor;
}

// The index: tensor -> file, in the order of names; checked but for what the files hold.
struct Index {
  std::map<std::string, std::string> file_of;
  std::optional<uint64_t> total_size;
};

bool plain_file_name(const std::string& name) {
  return !name.starts_with('.') && name.ends_with(".safetensors") &&
         name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

Index read_index(const Path& path) {
  const std::string where = path.string();
  const Json json = parse_json(read_file(path, kMaxIndex), where);
  require(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(), ErrorKind::kInput,
          "{}: weight_map: expected an object of tensor names and file names, got none", where);
  Index index;
  for (const auto& [name, file] : json["weight_map"].items()) {
    require(file.is_string() && plain_file_name(file.get_ref<const std::string&>()), ErrorKind::kInput,
            "{}: weight_map: tensor {}: expected the name of a .safetensors file in this folder, got {}", where,
            name_text(name), file.is_string() ? name_text(file.get_ref<const std::string&>()) : file.type_name());
    index.file_of.emplace(name, file.get<std::string>());
  }
  if (!json.contains("metadata")) return index;
  const Json& metadata = json["metadata"];
  require(metadata.is_object(), ErrorKind::kInput, "{}: metadata: expected an object, got {}", where,
          metadata.type_name());
  if (!metadata.contains("total_size")) return index;  // DeepSeek's fp8_cast_bf16.py writes an index without one
  require(metadata["total_size"].is_number_unsigned(), ErrorKind::kInput,
          "{}: metadata: total_size: expected an integer of 0 or more, got {}", where,
          name_text(metadata["total_size"].dump()));
  index.total_size = metadata["total_size"].get<uint64_t>();
  return index;
}

}  // namespace

Tensor StoredTensor::load(Device& device, DType type) const {
  require(shape.size() <= Shape::kMaxRank, ErrorKind::kUnsupported,
          "{}: tensor {}: expected at most {} dimensions, got shape {}", file, name_text(name), int(Shape::kMaxRank),
          shape_text(shape));
  Tensor tensor = Tensor::make(device, type, Shape(shape));
  load_into(tensor);
  return tensor;
}

void StoredTensor::load_into(const Tensor& destination) const {
  const DType to = destination.dtype();
  const bool same_shape = shape.size() == size_t(destination.rank()) &&
                          (shape.size() > Shape::kMaxRank || Shape(shape) == destination.shape());
  require(same_shape, ErrorKind::kInput, "{}: tensor {}: expected shape {}, got {}", file, name_text(name),
          destination.shape().text(), shape_text(shape));
  const bool to_float = to == DType::kF64 || to == DType::kF32 || to == DType::kBF16;
  require(convertible(dtype, to), to_float ? ErrorKind::kUnsupported : ErrorKind::kInput,
          "{}: tensor {}: expected a type that converts to {}, got {}", file, name_text(name), name_of(to), dtype);

  const size_t element = size_t(find_file_type(dtype)->bits) / 8;
  const bool direct = dtype == file_type_of(to);
  if (direct && destination.contiguous())
    return copy_in_parallel(destination.device(), destination.raw(), bytes.first(destination.bytes()));
  std::vector<std::byte> staging(direct ? 0 : size_t(kRunElements) * size_of(to));
  const std::byte* source = bytes.data();
  for_each_run(destination, [&](void* run, int64_t count) {
    if (!direct) {
      const int64_t done = convert_elements(dtype, source, to, staging.data(), count);
      require(done == count, ErrorKind::kInput,
              "{}: tensor {}: expected values that fit {}, got a larger or negative one at {}", file, name_text(name),
              name_of(to), (source - bytes.data()) / int64_t(element) + done);
    }
    destination.device().copy_from_host(run, direct ? source : staging.data(), size_t(count) * size_of(to));
    source += size_t(count) * element;
  });
}

SafetensorsFile::SafetensorsFile(const Path& path)
    : map_(path), file_name_(path.string()), content_(parse_safetensors(map_.bytes(), file_name_)) {
  for (const StoredTensor& tensor : content_.tensors) by_name_.push_back(&tensor);
  sort_by_name(by_name_);
}

const StoredTensor* SafetensorsFile::find(std::string_view name) const { return find_by_name(by_name_, name); }
const StoredTensor& SafetensorsFile::at(std::string_view name) const { return required(find(name), name, file_name_); }

SafetensorsSet SafetensorsSet::open(const Path& folder) {
  SafetensorsSet set;
  if (std::filesystem::exists(folder / kSingleFile)) {
    set.files_.push_back(std::make_unique<SafetensorsFile>(folder / kSingleFile));
    set.where_ = set.files_[0]->file_name();
    for (const StoredTensor& tensor : set.files_[0]->tensors()) set.by_name_.push_back(&tensor);
    sort_by_name(set.by_name_);
    return set;
  }
  const Path index_path = folder / kIndexFile;
  require(std::filesystem::exists(index_path), ErrorKind::kInput,
          "{}: expected a model folder with {} or {}, found neither", folder.string(), kSingleFile, kIndexFile);
  const Index index = read_index(index_path);
  set.where_ = index_path.string();

  std::map<std::string_view, const SafetensorsFile*> files;
  uint64_t total = 0;
  for (const auto& [name, file_name] : index.file_of) {
    const SafetensorsFile*& file = files[file_name];
    if (!file) {
      const Path path = folder / file_name;
      require(std::filesystem::exists(path), ErrorKind::kInput, "{}: expected {} in the same folder, found none",
              set.where_, name_text(file_name));
      file = set.files_.emplace_back(std::make_unique<SafetensorsFile>(path)).get();
    }
    set.by_name_.push_back(&file->at(name));
    total += set.by_name_.back()->bytes.size();
  }
  require(!index.total_size || *index.total_size == total, ErrorKind::kInput,
          "{}: metadata: total_size: expected {}, the bytes of the tensors, got {}", set.where_, total,
          index.total_size.value_or(0));
  return set;
}

const StoredTensor* SafetensorsSet::find(std::string_view name) const { return find_by_name(by_name_, name); }
const StoredTensor& SafetensorsSet::at(std::string_view name) const { return required(find(name), name, where_); }

}  // namespace tenth
