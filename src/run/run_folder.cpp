#include "run/run_folder.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/text.h"
#include "run/recipe_model.h"

namespace tenth {
namespace {

constexpr const char* kRecipeFile = "recipe.toml";
constexpr const char* kLockFile = "lock";

// Keys that a resumed run may have otherwise than the one it goes on from: they do not touch what was done.
bool may_change(const std::string& key) {
  return key.starts_with("checkpoint.") || key.ends_with(".skip_steps") || key.ends_with(".spike_factor") ||
         key == "run.threads";
}

// The first key whose values differ and may not; empty if there is none.
std::string changed_key(const Recipe& recipe, const Path& earlier_file) {
  const auto now = recipe.settings(), before = Recipe::load(earlier_file).settings();
  for (const auto& setting : now)
    if (!may_change(setting.first) && !std::count(before.begin(), before.end(), setting)) return setting.first;
  return now.size() == before.size() ? "" : "task";
}

// Whether the folder holds nothing but what a run leaves that was killed before its first record.
bool only_begun(const Path& dir) {
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (is_leftover(entry.path()) || entry.path().filename() == kLockFile) continue;
    if (entry.path().filename() != kRecipeFile) return false;
    try {
      if (read_file(entry.path()) != Recipe::load(entry.path()).to_toml()) return false;
    } catch (const Error&) {
      return false;  // a recipe of the user's own
    }
  }
  return true;
}

}  // namespace

void check_folder(const Recipe& recipe, const RunOptions& options) {
  namespace fs = std::filesystem;
  const Path& dir = options.run_dir;
  const bool run = fs::exists(dir / kRecipeFile) && fs::exists(dir / "metrics.jsonl");
  if (const Path from = start_folder(recipe); !from.empty()) {
    const Path way = fs::weakly_canonical(from).lexically_relative(fs::weakly_canonical(dir));
    require(way.empty() || *way.begin() == "..", ErrorKind::kInput,
            "{}: run.start_from: expected a model outside the run's own folder {}, got {}",
            recipe.where("run.start_from"), dir.string(), from.string());
  }
  if (!options.resume) {
    require(!fs::exists(dir) || run || (fs::is_directory(dir) && only_begun(dir)), ErrorKind::kInput,
            "{}: holds something that is not a run's; name another folder with --out", dir.string());
    return;
  }
  require(run, ErrorKind::kInput, "{}: nothing to resume; start without --resume", dir.string());
  const std::string changed = changed_key(recipe, dir / kRecipeFile);
  require(changed.empty(), ErrorKind::kInput,
          "{}: the recipe differs from the one this run began with ({}); resume with the same recipe and --set options",
          (dir / kRecipeFile).string(), changed);
  require(!fs::exists(dir / "summary.json"), ErrorKind::kInput, "{}: this run is finished; its model is {}",
          dir.string(), (dir / "model").string());
}

std::unique_ptr<FileLock> take_folder(const Recipe& recipe, const RunOptions& options) {
  check_folder(recipe, options);
  if (!std::filesystem::is_directory(options.run_dir)) return nullptr;
  auto lock = std::make_unique<FileLock>(options.run_dir / kLockFile);
  check_folder(recipe, options);  // the run that had the lock until now may have changed it
  return lock;
}

std::unique_ptr<FileLock> make_and_take_folder(const Path& dir) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  require(!error, ErrorKind::kIo, "{}: cannot create the folder: {}", dir.string(), error.message());
  return std::make_unique<FileLock>(dir / kLockFile);
}

void prepare_folder(const Recipe& recipe, const Path& dir, bool resume) {
  namespace fs = std::filesystem;
  const std::vector<std::string> results = {"checkpoints",      "model_sft", "model",        "metrics.jsonl",
                                            "expert_load.json", "report.md", "summary.json", "heartbeat.json",
                                            "train_raw",        "sft_raw",   "samples.jsonl"};
  try {
    std::vector<Path> old;
    for (const auto& entry : fs::directory_iterator(dir)) {
      const std::string name = entry.path().filename().string();
      const bool result = std::count(results.begin(), results.end(), name) || name.ends_with(".svg") ||
                          name.starts_with("events.out.tfevents") || name.starts_with("bad_batch_");
      if (is_leftover(entry.path()) || (result && !resume)) old.push_back(entry.path());
    }
    // The records last: with them and the recipe it is still a run's folder, wherever this is cut.
    std::partition(old.begin(), old.end(), [](const Path& path) { return path.filename() != "metrics.jsonl"; });
    for (const Path& path : old) fs::remove_all(path);
  } catch (const fs::filesystem_error& e) {
    fail(ErrorKind::kIo, "{}: cannot prepare the folder: {}", e.path1().string(), e.code().message());
  }
  remove_leftovers(dir);
  write_file(dir / kRecipeFile, recipe.to_toml());
}

std::optional<Checkpoint> checkpoint_to_resume(const RunOptions& options) {
  if (!options.resume) return std::nullopt;
  FoundCheckpoint found = find_checkpoint(options.run_dir);
  for (const std::string& line : found.skipped) std::fprintf(stderr, "skipped: %s\n", printable(line).c_str());
  if (found.newest && !found.skipped.empty()) std::fprintf(stderr, "going on from %s\n", found.newest->folder.c_str());
  return std::move(found.newest);
}

}  // namespace tenth
