#include "train/trainer_state.h"

#include "base/json.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/safetensors.h"

namespace tenth {
namespace {

constexpr const char* kExpertLoads = "expert_load.json";

Path state_folder(const Path& run_dir) { return checkpoint_folder(run_dir) / "trainer_state"; }

int64_t whole(const Json& json, const char* key, const Path& file) {
  require(json.is_object() && json.contains(key) && json[key].is_number_unsigned() && json[key] <= int64_t(1) << 53,
          ErrorKind::kInput, "{}: field {}: expected a whole number", file.string(), key);
  return json[key].get<int64_t>();
}

}  // namespace

Path checkpoint_folder(const Path& run_dir) { return run_dir / "checkpoint"; }

void save_checkpoint(const Path& run_dir, Transformer& model, const Optimizer& optimizer, const Progress& progress) {
  replace_folder(checkpoint_folder(run_dir), [&](const Path& folder) {
    save_model(folder, model, DType::kF32);
    const Path state = folder / "trainer_state";
    std::filesystem::create_directory(state);
    std::vector<TensorToWrite> tensors;
    for (const NamedTensor& part : optimizer.state()) tensors.push_back({.name = part.name, .tensor = part.tensor});
    write_safetensors(state / "optimizer.safetensors", tensors);
    const OrderedJson json = {
        {"stage", progress.stage}, {"step", progress.step}, {"optimizer_steps", optimizer.steps()}};
    write_file(state / "state.json", json.dump(2) + "\n");
  });
}

std::optional<Progress> checkpoint_progress(const Path& run_dir) {
  const Path file = state_folder(run_dir) / "state.json";
  if (!std::filesystem::exists(file)) return std::nullopt;
  const Json json = read_json(file);
  Progress progress;
  progress.step = whole(json, "step", file);
  require(json.contains("stage") && json["stage"].is_string(), ErrorKind::kInput, "{}: field stage: expected a string",
          file.string());
  progress.stage = json["stage"].get<std::string>();
  return progress;
}

void load_optimizer(const Path& run_dir, Optimizer& optimizer) {
  const SafetensorsFile file(state_folder(run_dir) / "optimizer.safetensors");
  for (const NamedTensor& part : optimizer.state()) file.load_into(part.name, part.tensor);
  const Path state = state_folder(run_dir) / "state.json";
  optimizer.set_steps(whole(read_json(state), "optimizer_steps", state));
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
