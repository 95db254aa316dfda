#include "train/checkpoints.h"

#include <algorithm>
#include <charconv>

#include "checkpoint/manifest.h"

namespace tenth {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";

Path folder_of_all(const Path& run_dir) { return run_dir / "checkpoints"; }

// step-<stage>-<number>, or nothing.
std::optional<Progress> parse_name(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  const size_t dash = name.find('-');
  if (dash == name.npos) return std::nullopt;
  Progress progress{std::string(name.substr(0, dash)), 0};
  const std::string_view number = name.substr(dash + 1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), progress.step);
  const auto& stages = stage_names();
  if (error != std::errc() || end != number.data() + number.size() || progress.step < 0 ||
      std::find(stages.begin(), stages.end(), progress.stage) == stages.end())
    return std::nullopt;
  return progress;
}

bool kept_for_good(const CheckpointPolicy& policy, const Progress& progress) {
  return policy.keep_every > 0 && progress.step % policy.keep_every == 0;
}

// Whether it is whole, and is what its name says.
void check_checkpoint(const Checkpoint& checkpoint) {
  check_manifest(checkpoint.folder);
  const Progress inside = read_progress(checkpoint.folder);
  require(inside.stage == checkpoint.progress.stage && inside.step == checkpoint.progress.step, ErrorKind::kInput,
          "{}: holds {} step {}: it was renamed", checkpoint.folder.string(), inside.stage, inside.step);
}

}  // namespace

bool save_due(const CheckpointPolicy& policy, int64_t step) {
  if (policy.every == 0) return false;
  const int64_t at = step % policy.every;
  return at == 0 || at == (policy.every + 1) / 2;
}

Path checkpoint_folder(const Path& run_dir, const Progress& progress) {
  return folder_of_all(run_dir) / fmt::format("{}{}-{:08}", kPrefix, progress.stage, progress.step);
}

std::vector<Checkpoint> list_checkpoints(const Path& run_dir) {
  std::vector<Checkpoint> all;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder_of_all(run_dir), error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (const auto progress = parse_name(entry->path().filename().string())) all.push_back({entry->path(), *progress});
  }
  require(!error || error == std::errc::no_such_file_or_directory, ErrorKind::kIo, "{}: cannot read the folder: {}",
          folder_of_all(run_dir).string(), error.message());
  std::sort(all.begin(), all.end(), [](const Checkpoint& a, const Checkpoint& b) { return b.progress < a.progress; });
  return all;
}

FoundCheckpoint find_checkpoint(const Path& run_dir) {
  FoundCheckpoint found;
  for (const Checkpoint& checkpoint : list_checkpoints(run_dir)) {
    try {
      check_checkpoint(checkpoint);
      found.newest = checkpoint;
      return found;
    } catch (const Error& e) {
      found.skipped.push_back(e.what());
    }
  }
  require(found.skipped.empty(), ErrorKind::kInput,
          "{}: none of the {} checkpoints is whole (the newest: {}); start again without --resume",
          folder_of_all(run_dir).string(), found.skipped.size(), found.skipped.empty() ? "" : found.skipped[0]);
  return found;
}

void remove_leftovers(const Path& run_dir) {
  std::vector<Path> left;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder_of_all(run_dir), error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (is_leftover(entry->path())) left.push_back(entry->path());
  }
  for (const Path& path : left) {
    fs::remove_all(path, error);
    require(!error, ErrorKind::kIo, "{}: cannot remove: {}", path.string(), error.message());
  }
}

void remove_checkpoints(const Path& run_dir, const CheckpointPolicy& policy) {
  for (const Checkpoint& checkpoint : list_checkpoints(run_dir))
    if (!kept_for_good(policy, checkpoint.progress)) remove_folder(checkpoint.folder);
  remove_leftovers(run_dir);
  std::error_code not_empty;
  fs::remove(folder_of_all(run_dir), not_empty);
}

std::optional<std::string> space_warning(const Path& folder, uint64_t free, uint64_t needed) {
  require(free >= needed, ErrorKind::kIo, "{}: no room for a checkpoint: it takes {:.1f} MB, {:.1f} MB are free",
          folder.string(), double(needed) / 1e6, double(free) / 1e6);
  if (free / 2 >= needed) return std::nullopt;
  return fmt::format("{}: the disk is nearly full: {:.1f} MB are free, a checkpoint takes {:.1f} MB", folder.string(),
                     double(free) / 1e6, double(needed) / 1e6);
}

CheckpointWriter::CheckpointWriter(const Path& run_dir, const CheckpointPolicy& policy,
                                   std::function<void(const std::string&)> note)
    : run_dir_(run_dir), policy_(policy), note_(std::move(note)) {}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::save(Transformer& model, const Optimizer& optimizer, const Progress& progress) {
  wait();
  TrainerState state = copy_state(model, optimizer, progress);
  make_folder(folder_of_all(run_dir_));
  const auto warning = space_warning(folder_of_all(run_dir_), free_bytes(folder_of_all(run_dir_)), state.bytes());
  if (warning && !warned_) note_(*warning);
  warned_ = warning.has_value();
  std::packaged_task<void()> task([this, state = std::move(state)] { write(state); });
  written_ = task.get_future();
  thread_ = std::jthread(std::move(task));
}

void CheckpointWriter::check() {
  if (written_.valid() && written_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) wait();
}

void CheckpointWriter::wait() {
  if (!written_.valid()) return;
  std::future<void> written = std::move(written_);
  written.get();
}

void CheckpointWriter::write(const TrainerState& state) const {
  try {
    replace_folder(checkpoint_folder(run_dir_, state.progress),
                   [&](const Path& beside) { write_state(beside, state); });
    prune(state.progress);
  } catch (const Error& e) {
    fail(e.kind(),
         "{}; the checkpoint of {} step {} failed, those before are as they were: mend this and go on with "
         "--resume",
         e.what(), state.progress.stage, state.progress.step);
  }
}

void CheckpointWriter::prune(const Progress& newest) const {
  int64_t kept = 0;
  for (const Checkpoint& checkpoint : list_checkpoints(run_dir_)) {
    const bool left_behind = newest < checkpoint.progress;
    if (!left_behind && kept++ < policy_.keep) continue;
    if (left_behind || !kept_for_good(policy_, checkpoint.progress)) remove_folder(checkpoint.folder);
  }
}

}  // namespace tenth
