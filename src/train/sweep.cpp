#include "train/sweep.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "train/curves.h"
#include "train/table.h"

namespace tenth {
namespace {

constexpr size_t kMostRuns = 1000;
constexpr size_t kLongestName = 200;  // bytes of a folder's name

struct Swept {
  std::string key;
  std::vector<std::string> values;
};

Swept split(const std::string& assignment) {
  const size_t equals = assignment.find('=');
  require(equals != std::string::npos && equals > 0, ErrorKind::kInput,
          "--set: expected section.key=value,value,…, like optim.lr=1e-3,3e-3, got \"{}\"",
          printable(assignment.substr(0, 60)));
  Swept swept{assignment.substr(0, equals), {}};
  const std::string all = assignment.substr(equals + 1);
  const auto is_list = [&](const RecipeKey& key) { return key.name == swept.key && key.type() == RecipeType::kList; };
  if (std::any_of(recipe_keys().begin(), recipe_keys().end(), is_list)) return {swept.key, {all}};
  for (size_t at = 0; at <= all.size();) {
    const size_t comma = std::min(all.find(',', at), all.size());
    swept.values.push_back(all.substr(at, comma - at));
    at = comma + 1;
  }
  return swept;
}

// The key's value as the recipe reads it: 1e-3 and 0.001 are one.
std::string setting_of(const Recipe& recipe, const std::string& key) {
  for (const auto& [name, value] : recipe.settings())
    if (name == key) return value.size() > 1 && value[0] == '"' ? value.substr(1, value.size() - 2) : value;
  return "";
}

std::string name_of(const std::vector<std::pair<std::string, std::string>>& settings) {
  std::string name;
  for (const auto& [key, value] : settings) {
    const std::string last = key.substr(key.rfind('.') + 1);
    const bool alone = std::count_if(settings.begin(), settings.end(), [&](const auto& other) {
                         return other.first.substr(other.first.rfind('.') + 1) == last;
                       }) == 1;
    name += (name.empty() ? "" : "_") + (alone ? last : key) + "=" + value;
  }
  for (char& c : name)
    if (!std::isalnum(uint8_t(c)) && std::string_view("._=+-").find(c) == std::string_view::npos) c = '-';
  return name.empty() ? "only" : name.substr(0, kLongestName);
}

std::optional<double> number(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) return {};
  return found->get<double>();
}

std::string cell(const std::optional<double>& value, const char* format) {
  return value && std::isfinite(*value) ? fmt::format(fmt::runtime(format), *value) : "-";
}

template <class Get>
bool any(const std::vector<SweepRow>& rows, const Get& get) {
  return std::any_of(rows.begin(), rows.end(), [&](const SweepRow& row) { return get(row).has_value(); });
}

std::vector<Row> table_of(const std::vector<SweepRow>& rows) {
  const bool bits = any(rows, [](const SweepRow& row) { return row.bits_per_byte; });
  const bool answers = any(rows, [](const SweepRow& row) { return row.accuracy; });
  const std::optional<SweepBest> best = best_row(rows);
  std::vector<Row> table = {{"run"}};
  for (const auto& [key, value] : rows.empty() ? SweepRow{}.settings : rows[0].settings)
    table[0].push_back(printable(key));
  for (const char* name : {"final loss", "bits per byte", "right answers", "tokens/s", "seconds", "note"}) {
    const bool shown = std::string_view(name) == "bits per byte"   ? bits
                       : std::string_view(name) == "right answers" ? answers
                                                                   : true;
    if (shown) table[0].push_back(name);
  }
  for (size_t r = 0; r < rows.size(); r++) {
    const SweepRow& row = rows[r];
    Row line = {fmt::format("{}", r + 1)};
    for (const auto& [key, value] : row.settings) line.push_back(printable(value));
    line.push_back(cell(row.final_loss, "{:.4f}"));
    if (bits) line.push_back(cell(row.bits_per_byte, "{:.4f}"));
    if (answers) line.push_back(row.accuracy ? fmt::format("{:.1f} %", 100 * *row.accuracy) : "-");
    line.push_back(row.tokens_per_second ? short_number(*row.tokens_per_second) : "-");
    line.push_back(cell(row.seconds, "{:.1f}"));
    line.push_back(!row.error.empty()       ? printable(row.error.substr(0, 160))
                   : best && best->row == r ? "best by " + best->figure
                                            : "");
    table.push_back(std::move(line));
  }
  return table;
}

}  // namespace

std::vector<SweepRun> sweep_runs(const Path& recipe, const std::vector<std::string>& assignments) {
  std::vector<Swept> swept;
  size_t count = 1;
  for (const std::string& assignment : assignments) {
    swept.push_back(split(assignment));
    require(std::count_if(swept.begin(), swept.end(), [&](const Swept& s) { return s.key == swept.back().key; }) == 1,
            ErrorKind::kInput, "--set: {} is given twice; list its values with commas", printable(swept.back().key));
    count *= swept.back().values.size();
    require(count <= kMostRuns, ErrorKind::kInput, "--set: expected at most {} runs, got {} and more", kMostRuns,
            count);
  }
  std::vector<SweepRun> runs;
  std::set<std::string> names;
  for (size_t i = 0; i < count; i++) {
    std::vector<std::string> overrides;
    size_t rest = i, block = count;
    for (const Swept& s : swept) {
      block /= s.values.size();
      overrides.push_back(s.key + "=" + s.values[rest / block]);
      rest %= block;
    }
    SweepRun run{{}, {}, Recipe::load(recipe, overrides)};
    for (const Swept& s : swept)
      if (s.values.size() > 1) run.settings.emplace_back(s.key, setting_of(run.recipe, s.key));
    run.name = name_of(run.settings);
    require(names.insert(run.name).second, ErrorKind::kInput,
            "--set: two runs would have the folder {}: is a value listed twice?", run.name);
    runs.push_back(std::move(run));
  }
  return runs;
}

SweepRow sweep_row(const SweepRun& run, const Path& folder) {
  SweepRow row{.settings = run.settings, .folder = run.name};
  const Json summary = read_json(folder / "summary.json");
  require(summary.is_object(), ErrorKind::kInput, "{}: expected an object, got {}", (folder / "summary.json").string(),
          summary.type_name());
  row.bits_per_byte = number(summary, "bits_per_byte");
  row.accuracy = number(summary, "accuracy_after");
  if (!row.accuracy) row.accuracy = number(summary, "accuracy_before");
  row.seconds = number(summary, "seconds");
  const std::vector<MetricRecord> records = read_metrics(folder).records;
  const auto stage = supervised_stage(records);
  if (!stage) return row;
  const LearningCurve curve = learning_curve(records, *stage, "loss");
  row.final_loss = final_value(curve);
  if (curve.seconds.back() > 0) row.tokens_per_second = curve.tokens.back() / curve.seconds.back();
  return row;
}

std::optional<SweepBest> best_row(const std::vector<SweepRow>& rows) {
  const auto best = [&](const char* figure, const auto& cost) -> std::optional<SweepBest> {
    std::optional<SweepBest> found;
    double least = 0;
    bool differ = false;
    for (size_t r = 0; r < rows.size(); r++) {
      if (!rows[r].error.empty()) continue;
      const std::optional<double> value = cost(rows[r]);
      if (!value || !std::isfinite(*value)) return {};
      differ |= found && *value != least;
      if (!found || *value < least) found = SweepBest{r, figure}, least = *value;
    }
    return differ ? found : std::nullopt;
  };
  if (auto found = best("bits per byte", [](const SweepRow& row) { return row.bits_per_byte; })) return found;
  const auto wrong = [](const SweepRow& row) { return row.accuracy ? std::optional(1 - *row.accuracy) : std::nullopt; };
  if (auto found = best("right answers", wrong)) return found;
  return best("final loss", [](const SweepRow& row) { return row.final_loss; });
}

std::string sweep_text(const std::vector<SweepRow>& rows) { return text_table(table_of(rows)); }

std::string sweep_markdown(const std::string& recipe, const std::vector<SweepRow>& rows) {
  std::string out = "# Sweep of " + printable(recipe) + "\n\n" + markdown_table(table_of(rows)) + "\n";
  out += "Final loss: mean of the last 5 % of the steps, nats a token. Folders, in this order:\n\n";
  for (const SweepRow& row : rows) out += "- `" + row.folder + "`\n";
  return out;
}

std::string sweep_json(const std::string& recipe, const std::vector<SweepRow>& rows) {
  const auto or_null = [](const std::optional<double>& value) { return value ? OrderedJson(*value) : OrderedJson(); };
  OrderedJson json = {{"recipe", recipe}, {"runs", OrderedJson::array()}};
  for (const SweepRow& row : rows) {
    OrderedJson settings = OrderedJson::object();
    for (const auto& [key, value] : row.settings) settings[key] = value;
    json["runs"].push_back({{"folder", row.folder},
                            {"settings", settings},
                            {"error", row.error.empty() ? OrderedJson() : OrderedJson(row.error)},
                            {"final_loss", or_null(row.final_loss)},
                            {"bits_per_byte", or_null(row.bits_per_byte)},
                            {"accuracy", or_null(row.accuracy)},
                            {"tokens_per_second", or_null(row.tokens_per_second)},
                            {"seconds", or_null(row.seconds)}});
  }
  const std::optional<SweepBest> best = best_row(rows);
  json["best"] = best ? OrderedJson(rows[best->row].folder) : OrderedJson();
  json["best_by"] = best ? OrderedJson(best->figure) : OrderedJson();
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace tenth
