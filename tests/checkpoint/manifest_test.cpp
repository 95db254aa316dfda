// A manifest finds every flipped bit and every cut, and names the file and the tensor.
#include "checkpoint/manifest.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "base/json.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_files.h"

namespace tenth {
namespace {

namespace fs = std::filesystem;

const char* const kFiles[] = {"config.json", "model.safetensors", "trainer_state/state.json", kManifest};

// Three tensors, one of them empty, and two texts.
void fill(const Path& folder) {
  fs::create_directories(folder / "trainer_state");
  const std::vector<float> a = {1, 2, 3}, b = {4};
  const auto bytes = [](const std::vector<float>& values) { return std::as_bytes(std::span(values)); };
  write_safetensors(folder / "model.safetensors",
                    std::vector<TensorToWrite>{{.name = "a", .dtype = "F32", .shape = {3}, .bytes = bytes(a)},
                                               {.name = "b", .dtype = "F32", .shape = {1}, .bytes = bytes(b)},
                                               {.name = "none", .dtype = "F32", .shape = {0}}});
  write_file(folder / "config.json", "abc");
  write_file(folder / "trainer_state" / "state.json", "{}\n");
  write_manifest(folder);
}

void flip(const Path& file, size_t byte, int bit) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(std::streamoff(byte));
  const char value = char(stream.get() ^ (1 << bit));
  stream.seekp(std::streamoff(byte));
  stream.put(value);
}

TEST(Manifest, SaysWhatOtherProgramsSay) {
  TemporaryFolder folder;
  fill(folder.path());
  check_manifest(folder.path());
  const Json files = read_json(folder / kManifest)["files"];
  EXPECT_EQ(files.size(), 3u) << "not of itself";
  // FIPS 180-2, appendix B.1; xxHash's own test of nothing with seed 0.
  EXPECT_EQ(files["config.json"]["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(files["model.safetensors"]["tensors"]["none"]["xxh3"], "2d06800538d394c2");
  const Json& a = files["model.safetensors"]["tensors"]["a"];
  EXPECT_EQ(a["bytes"], 12);
  const std::string bytes = read_file(folder / "model.safetensors");
  EXPECT_EQ(bytes.size(), files["model.safetensors"]["bytes"]);
  const float first = 1;
  EXPECT_EQ(std::memcmp(bytes.data() + a["begin"].get<size_t>(), &first, 4), 0);
}

TEST(Manifest, FindsEveryFlippedBit) {
  TemporaryFolder folder;
  fill(folder.path());
  const Json tensors = read_json(folder / kManifest)["files"]["model.safetensors"]["tensors"];
  const size_t a = tensors["a"]["begin"], b = tensors["b"]["begin"];
  for (const char* name : kFiles) {
    const Path file = folder.path() / name;
    const size_t size = fs::file_size(file);
    for (size_t byte = 0; byte < size; byte++) {
      for (int bit = 0; bit < 8; bit++) {
        flip(file, byte, bit);
        const std::string message = error_of(ErrorKind::kInput, [&] { check_manifest(folder.path()); });
        flip(file, byte, bit);
        ASSERT_TRUE(message.starts_with(file.string() + ": ")) << message;
        if (name != kFiles[1]) continue;
        const char* part = byte < std::min(a, b) ? "header" : byte >= a && byte < a + 12 ? "tensor a" : "tensor b";
        ASSERT_NE(message.find(part), std::string::npos) << message << " at " << byte;
      }
    }
  }
  check_manifest(folder.path());
}

TEST(Manifest, FindsEveryCut) {
  TemporaryFolder folder;
  fill(folder.path());
  for (const char* name : kFiles) {
    const Path file = folder.path() / name;
    const std::string whole = read_file(file);
    for (size_t size = 0; size < whole.size(); size++) {
      std::ofstream(file, std::ios::binary) << whole.substr(0, size);
      const std::string message = error_of(ErrorKind::kInput, [&] { check_manifest(folder.path()); });
      ASSERT_TRUE(message.starts_with(file.string() + ": ")) << message;
      ASSERT_TRUE(name != kFiles[1] || message.find("tensor ") != std::string::npos) << message;
    }
    std::ofstream(file, std::ios::binary) << whole + "x";
    error_of(ErrorKind::kInput, [&] { check_manifest(folder.path()); });
    fs::remove(file);
    EXPECT_NE(error_of(ErrorKind::kInput, [&] { check_manifest(folder.path()); }).find("missing"), std::string::npos);
    std::ofstream(file, std::ios::binary) << whole;
  }
  check_manifest(folder.path());
}

// Whoever writes a seal can write anything: it is still a file from outside.
TEST(Manifest, HostileOnesAreRefused) {
  TemporaryFolder folder;
  fill(folder.path());
  const std::string good = read_file(folder / kManifest);
  const size_t place = good.rfind("  \"sha256\"");
  for (const char* files :
       {R"({"../secret": {"bytes": 1, "sha256": ""}})", R"({"/etc/passwd": {"bytes": 1, "sha256": ""}})", "[]", "7",
        R"({"config.json": 3})", R"({"config.json": {"bytes": -1, "sha256": ""}})",
        R"({"config.json": {"bytes": 3, "sha256": 4}})",
        R"({"config.json": {"bytes": 3, "sha256": "", "tensors": [1]}})",
        R"({"config.json": {"bytes": 3, "sha256": "", "tensors": {"a": {"begin": 1e30, "bytes": 1, "xxh3": ""}}}})",
        R"({"config.json": {"bytes": 3, "sha256": "", "tensors": {"a": {"begin": 2, "bytes": 9, "xxh3": ""},
            "b": {"begin": 1, "bytes": 9, "xxh3": ""}}}})"}) {
    const std::string text = fmt::format("{{\n  \"files\": {},\n", files);
    write_file(folder / kManifest, text + good.substr(place));
    EXPECT_NE(error_of(ErrorKind::kInput, [&] { check_manifest(folder.path()); }).find("its own SHA-256"),
              std::string::npos);
    // The same with a seal that fits: made by writing the manifest of a folder that holds just this text.
    TemporaryFolder other;
    write_file(other / "t", text);
    write_manifest(other.path());
    const std::string sha = read_json(other / kManifest)["files"]["t"]["sha256"];
    write_file(folder / kManifest, fmt::format("{}  \"sha256\": \"{}\"\n}}\n", text, sha));
    const std::string message = error_of(ErrorKind::kInput, [&] { check_manifest(folder.path()); });
    EXPECT_EQ(message.find("its own SHA-256"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace tenth
