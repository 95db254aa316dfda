#include "checkpoint/manifest.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_text.h"

namespace tenth {
namespace {

constexpr const char* kDigestField = "  \"sha256\": \"";

class Sha256 {
 public:
  Sha256() : state_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    require(state_ && EVP_DigestInit_ex(state_.get(), EVP_sha256(), nullptr) == 1, ErrorKind::kInternal,
            "SHA-256 cannot be started");
  }
  void add(std::span<const std::byte> bytes) { EVP_DigestUpdate(state_.get(), bytes.data(), bytes.size()); }
  std::string hex() {
    unsigned char digest[32];
    EVP_DigestFinal_ex(state_.get(), digest, nullptr);
    std::string text;
    for (const unsigned char byte : digest) text += fmt::format("{:02x}", byte);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> state_;
};

struct TensorRecord {
  std::string name;
  uint64_t begin = 0, bytes = 0;
  std::string xxh3;  // empty: the file ends before the tensor does
};

struct FileRecord {
  std::string name;  // within the folder, with slashes
  uint64_t bytes = 0;
  std::string sha256;
  std::vector<TensorRecord> tensors;  // by begin, apart
};

// Hashes tensors that stand one after another while their file passes by.
class TensorHasher {
 public:
  explicit TensorHasher(std::vector<TensorRecord>& tensors)
      : tensors_(tensors), state_(XXH3_createState(), XXH3_freeState) {
    require(state_ != nullptr, ErrorKind::kInternal, "XXH3 cannot be started");
    XXH3_64bits_reset(state_.get());
  }
  void add(std::span<const std::byte> piece) {
    const uint64_t end = place_ + piece.size();
    for (; next_ < tensors_.size(); next_++) {
      TensorRecord& tensor = tensors_[next_];
      const uint64_t from = std::max(tensor.begin, place_), to = std::min(tensor.begin + tensor.bytes, end);
      if (from < to) XXH3_64bits_update(state_.get(), piece.data() + (from - place_), to - from);
      if (tensor.begin + tensor.bytes > end) break;
      tensor.xxh3 = fmt::format("{:016x}", XXH3_64bits_digest(state_.get()));
      XXH3_64bits_reset(state_.get());
    }
    place_ = end;
  }

 private:
  std::vector<TensorRecord>& tensors_;
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
  size_t next_ = 0;
  uint64_t place_ = 0;
};

// Reads the file once; the tensors' places are given, their hashes and the rest are filled in.
FileRecord digest_file(const Path& folder, const std::string& name, std::vector<TensorRecord> tensors) {
  FileRecord record{name, 0, "", std::move(tensors)};
  for (TensorRecord& tensor : record.tensors) tensor.xxh3.clear();
  Sha256 sha;
  TensorHasher hasher(record.tensors);
  read_pieces(folder / name, [&](std::span<const std::byte> piece) {
    sha.add(piece);
    hasher.add(piece);
    record.bytes += piece.size();
  });
  record.sha256 = sha.hex();
  return record;
}

std::vector<TensorRecord> tensors_of(const Path& file) {
  const MappedFile map(file);
  const std::string name = file.string();
  const SafetensorsContent content = parse_safetensors(map.bytes(), name);
  std::vector<TensorRecord> tensors;
  for (const StoredTensor& tensor : content.tensors)
    tensors.push_back({tensor.name, uint64_t(tensor.bytes.data() - map.bytes().data()), tensor.bytes.size(), ""});
  return tensors;
}

OrderedJson to_json(const FileRecord& record) {
  OrderedJson json = {{"bytes", record.bytes}, {"sha256", record.sha256}};
  if (!record.tensors.empty()) json["tensors"] = OrderedJson::object();
  for (const TensorRecord& tensor : record.tensors)
    json["tensors"][tensor.name] = {{"begin", tensor.begin}, {"bytes", tensor.bytes}, {"xxh3", tensor.xxh3}};
  return json;
}

// The end of manifest.json behind the bytes that it covers.
std::string seal(std::string_view covered) {
  Sha256 sha;
  sha.add(std::as_bytes(std::span(covered)));
  return kDigestField + sha.hex() + "\"\n}\n";
}

const Json& field(const Json& json, const char* name, bool (Json::*is)() const noexcept, const std::string& where) {
  require(json.is_object() && json.contains(name) && (json[name].*is)(), ErrorKind::kInput,
          "{}: field {}: missing or of the wrong type", where, name);
  return json[name];
}

uint64_t whole(const Json& json, const char* name, const std::string& where) {
  const uint64_t value = field(json, name, &Json::is_number_unsigned, where).get<uint64_t>();
  require(value <= uint64_t(1) << 60, ErrorKind::kInput, "{}: field {}: too large", where, name);
  return value;
}

FileRecord from_json(const std::string& name, const Json& json, const std::string& where) {
  const Path path(name);
  require(path.is_relative() && std::none_of(path.begin(), path.end(), [](const Path& part) { return part == ".."; }),
          ErrorKind::kInput, "{}: expected names of files inside the folder, got {}", where, name_text(name));
  FileRecord record{
      name, whole(json, "bytes", where), field(json, "sha256", &Json::is_string, where).get<std::string>(), {}};
  if (!json.contains("tensors")) return record;
  for (const auto& [tensor, entry] : field(json, "tensors", &Json::is_object, where).items())
    record.tensors.push_back({tensor, whole(entry, "begin", where), whole(entry, "bytes", where),
                              field(entry, "xxh3", &Json::is_string, where).get<std::string>()});
  std::sort(record.tensors.begin(), record.tensors.end(), [](const TensorRecord& a, const TensorRecord& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.bytes < b.bytes;
  });
  return record;
}

std::vector<FileRecord> read_manifest(const Path& path) {
  const std::string where = path.string(), text = read_file(path);
  const size_t covered = text.rfind(kDigestField);
  require(covered != text.npos && text.substr(covered) == seal(std::string_view(text).substr(0, covered)),
          ErrorKind::kInput, "{}: damaged: it does not match its own SHA-256", where);
  const Json json = parse_json(text, where);
  std::vector<FileRecord> records;
  for (const auto& [name, entry] : field(json, "files", &Json::is_object, where).items())
    records.push_back(from_json(name, entry, where));
  return records;
}

void check_file(const Path& folder, const FileRecord& expected) {
  const std::string where = (folder / expected.name).string();
  const FileRecord got = digest_file(folder, expected.name, expected.tensors);
  const auto hit = std::mismatch(got.tensors.begin(), got.tensors.end(), expected.tensors.begin(),
                                 [](const TensorRecord& a, const TensorRecord& b) { return a.xxh3 == b.xxh3; });
  const std::string tensor =
      hit.first == got.tensors.end() ? "" : fmt::format("tensor {}: ", name_text(hit.first->name));
  require(got.bytes >= expected.bytes, ErrorKind::kInput, "{}: {}cut off: expected {} bytes, got {}", where, tensor,
          expected.bytes, got.bytes);
  require(got.bytes == expected.bytes && got.sha256 == expected.sha256, ErrorKind::kInput,
          "{}: {}damaged: it does not match the SHA-256 in {}", where,
          tensor.empty() && !got.tensors.empty() ? "header: " : tensor, kManifest);
}

}  // namespace

void write_manifest(const Path& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> names;
  try {
    for (const auto& entry : fs::recursive_directory_iterator(folder))
      if (entry.is_regular_file()) names.push_back(entry.path().lexically_relative(folder).generic_string());
  } catch (const fs::filesystem_error& e) {
    fail(ErrorKind::kIo, "{}: cannot read the folder: {}", folder.string(), e.code().message());
  }
  std::sort(names.begin(), names.end());
  OrderedJson files = OrderedJson::object();
  for (const std::string& name : names) {
    if (name == kManifest) continue;
    const bool tensors = name.ends_with(".safetensors");
    files[name] = to_json(digest_file(folder, name, tensors ? tensors_of(folder / name) : std::vector<TensorRecord>()));
  }
  std::string text = OrderedJson{{"files", std::move(files)}}.dump(2);
  text.resize(text.size() - 2);  // "\n}"
  text += ",\n";
  write_file(folder / kManifest, text + seal(text));
}

void check_manifest(const Path& folder) {
  const Path path = folder / kManifest;
  require(std::filesystem::exists(path), ErrorKind::kInput, "{}: missing: this is no whole checkpoint", path.string());
  for (const FileRecord& record : read_manifest(path)) {
    require(std::filesystem::exists(folder / record.name), ErrorKind::kInput, "{}: missing, {} names it",
            (folder / record.name).string(), kManifest);
    check_file(folder, record);
  }
}

}  // namespace tenth
