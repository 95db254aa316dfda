#include "train/trainer_state.h"

#include <algorithm>
#include <map>

#include "base/json.h"
#include "base/text.h"
#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"

namespace tenth {
namespace {

constexpr const char* kExpertLoads = "expert_load.json";

Path state_file(const Path& folder) { return folder / "trainer_state" / "state.json"; }
Path optimizer_file(const Path& folder) { return folder / "trainer_state" / "optimizer.safetensors"; }

int64_t whole(const Json& json, const char* key, const Path& file) {
  require(json.is_object() && json.contains(key) && json[key].is_number_unsigned() && json[key] <= int64_t(1) << 53,
          ErrorKind::kInput, "{}: field {}: expected a whole number", file.string(), key);
  return json[key].get<int64_t>();
}

std::ptrdiff_t place(const std::string& stage) {
  return std::find(stage_names().begin(), stage_names().end(), stage) - stage_names().begin();
}

// Replaces views on live tensors by copies, one for tensors that stand there twice.
void detach(std::vector<TensorToWrite>& tensors) {
  std::map<std::pair<const void*, int64_t>, Tensor> copies;
  for (TensorToWrite& each : tensors) {
    Tensor& copy = copies[{each.tensor.raw(), each.tensor.count()}];
    if (!copy) {
      copy = Tensor::make(each.tensor.device(), each.tensor.dtype(), each.tensor.shape());
      backend_of(copy).copy(copy, each.tensor);
    }
    each.tensor = copy;
  }
}

size_t bytes_of(const std::vector<TensorToWrite>& tensors) {
  size_t bytes = 0;
  for (const TensorToWrite& each : tensors) bytes += each.tensor.bytes() + 512;  // its lines in header and manifest
  return bytes;
}

}  // namespace

const std::vector<std::string>& stage_names() {
  static const std::vector<std::string> names = {"train", "sft", "rl"};
  return names;
}

bool operator<(const Progress& a, const Progress& b) {
  return a.stage != b.stage ? place(a.stage) < place(b.stage) : a.step < b.step;
}

size_t TrainerState::bytes() const { return bytes_of(model.tensors) + bytes_of(optimizer) + 65536; }

TrainerState copy_state(Transformer& model, const Optimizer& optimizer, const Progress& progress) {
  TrainerState state{model_files(model, DType::kF32), {}, optimizer.steps(), progress};
  for (const NamedTensor& part : optimizer.state())
    state.optimizer.push_back({.name = part.name, .tensor = part.tensor});
  detach(state.model.tensors);
  detach(state.optimizer);
  return state;
}

void write_state(const Path& folder, const TrainerState& state) {
  write_model_files(folder, state.model);
  make_folder(optimizer_file(folder).parent_path());
  write_safetensors(optimizer_file(folder), state.optimizer);
  const OrderedJson json = {
      {"stage", state.progress.stage}, {"step", state.progress.step}, {"optimizer_steps", state.optimizer_steps}};
  write_file(state_file(folder), json.dump(2) + "\n");
  write_manifest(folder);
}

Progress read_progress(const Path& folder) {
  const Path file = state_file(folder);
  const Json json = read_json(file);
  Progress progress;
  progress.step = whole(json, "step", file);
  require(json.contains("stage") && json["stage"].is_string(), ErrorKind::kInput, "{}: field stage: expected a string",
          file.string());
  progress.stage = json["stage"].get<std::string>();
  require(place(progress.stage) < std::ssize(stage_names()), ErrorKind::kInput,
          "{}: field stage: expected train, sft or rl, got {}", file.string(), printable(progress.stage));
  return progress;
}

void load_optimizer(const Path& folder, Optimizer& optimizer) {
  const SafetensorsFile file(optimizer_file(folder));
  for (const NamedTensor& part : optimizer.state()) file.load_into(part.name, part.tensor);
  optimizer.set_steps(whole(read_json(state_file(folder)), "optimizer_steps", state_file(folder)));
}

std::vector<ExpertLoad> read_expert_loads(const Path& run_dir) {
  const Path file = run_dir / kExpertLoads;
  std::vector<ExpertLoad> loads;
  if (!std::filesystem::exists(file)) return loads;
  const Json json = read_json(file);
  try {
    for (const Json& entry : json)
      loads.push_back({entry.at("stage"), entry.at("layers").get<std::vector<int>>(),
                       entry.at("loads").get<std::vector<std::vector<double>>>()});
  } catch (const Json::exception&) {
    fail(ErrorKind::kInput, "{}: expected a list of objects with stage, layers and loads", file.string());
  }
  return loads;
}

void add_expert_load(const Path& run_dir, const ExpertLoad& load) {
  std::vector<ExpertLoad> loads = read_expert_loads(run_dir);
  std::erase_if(loads, [&](const ExpertLoad& older) { return older.stage == load.stage; });
  loads.push_back(load);
  OrderedJson json = OrderedJson::array();
  for (const ExpertLoad& each : loads)
    json.push_back({{"stage", each.stage}, {"layers", each.layers}, {"loads", each.loads}});
  write_file(run_dir / kExpertLoads, json.dump() + "\n");
}

}  // namespace tenth
