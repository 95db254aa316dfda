#include "hub/cache.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <vector>

#include "base/error.h"

namespace tenth {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool is_name_part(const std::string& text) {
  auto good = [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == '-'; };
  return !text.empty() && text.size() <= 96 && text[0] != '.' && text[0] != '-' && text.find("..") == text.npos &&
         text.find("--") == text.npos && std::all_of(text.begin(), text.end(), good);
}

bool is_revision(const std::string& text) {
  auto good = [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == '-' || c == '/'; };
  return !text.empty() && text.size() <= 200 && std::isalnum(static_cast<unsigned char>(text[0])) &&
         text.find("..") == text.npos && text.find("//") == text.npos && text.back() != '/' &&
         std::all_of(text.begin(), text.end(), good);
}

std::string trimmed_file(const Path& path) {
  std::string text = read_file(path, 4096);
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text;
}

}  // namespace

Path hub_cache() {
  if (const std::string cache = variable("HF_HUB_CACHE"); !cache.empty()) return cache;
  if (const std::string home = variable("HF_HOME"); !home.empty()) return Path(home) / "hub";
  if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty()) return Path(xdg) / "huggingface" / "hub";
  const std::string home = variable("HOME");
  require(!home.empty(), ErrorKind::kInput,
          "hub: expected HF_HUB_CACHE, HF_HOME or HOME to be set, to know where the cache is");
  return Path(home) / ".cache" / "huggingface" / "hub";
}

std::optional<HubName> parse_hub_name(const std::string& text) {
  const size_t at = text.find('@');
  const HubName name{text.substr(0, at), at == text.npos ? "main" : text.substr(at + 1)};
  const size_t slash = name.name.find('/');
  if (slash == text.npos || !is_revision(name.revision)) return std::nullopt;
  if (!is_name_part(name.name.substr(0, slash)) || !is_name_part(name.name.substr(slash + 1))) return std::nullopt;
  return name;
}

Path hub_folder(const Path& cache, const std::string& name) {
  std::string folder = "models--" + name;
  folder.replace(folder.find('/'), 1, "--");
  return cache / folder;
}

std::optional<Path> find_snapshot(const Path& cache, const HubName& name) {
  const Path folder = hub_folder(cache, name.name), ref = folder / "refs" / name.revision;
  std::string commit = name.revision;
  if (fs::is_regular_file(ref)) commit = trimmed_file(ref);
  if (!is_revision(commit) || commit.find('/') != commit.npos) return std::nullopt;
  const Path snapshot = folder / "snapshots" / commit;
  if (!fs::is_directory(snapshot)) return std::nullopt;
  return snapshot;
}

Path find_model(const std::string& model) {
  std::error_code ignored;
  if (fs::exists(model, ignored)) return model;
  const auto name = parse_hub_name(model);
  require(name.has_value(), ErrorKind::kInput,
          "{}: expected a folder, a .gguf file, or the name of a model on a hub (OWNER/NAME), got none of these",
          model);
  const auto snapshot = find_snapshot(hub_cache(), *name);
  require(snapshot.has_value(), ErrorKind::kInput,
          "{}: expected a folder, or a model that was pulled; there is no such folder, and none in {}: tenth pull {}",
          model, hub_cache().string(), model);
  if (fs::exists(*snapshot / "config.json")) return *snapshot;
  std::vector<Path> files;
  for (const auto& entry : fs::directory_iterator(*snapshot))
    if (entry.path().extension() == ".gguf") files.push_back(entry.path());
  return files.size() == 1 ? files[0] : *snapshot;
}

}  // namespace tenth
