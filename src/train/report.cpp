#include "train/report.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "train/svg_chart.h"
#include "train/table.h"

namespace tenth {
namespace {

constexpr std::string_view kMarkdown = "\\`*[]|~$@";

std::string percent(double share) { return std::isfinite(share) ? fmt::format("{:.1f} %", 100 * share) : "-"; }

std::string rate_text(const StageSummary& stage) {
  return stage.seconds > 0 ? short_number(stage.tokens / stage.seconds) : "-";
}

std::string accuracy_text(const Evaluation& evaluation) {
  return fmt::format("{} ± {:.1f}", percent(evaluation.accuracy), 100 * evaluation.standard_error);
}

std::string temperature_text(const Evaluation& evaluation) { return fmt::format("T = {:.3g}", evaluation.temperature); }

// The rows of the table before/after; the first is its head.
std::vector<Row> comparison_rows(const RunSummary& summary) {
  const bool any_after = std::any_of(summary.comparisons.begin(), summary.comparisons.end(),
                                     [](const Comparison& comparison) { return comparison.after.has_value(); });
  std::vector<Row> rows = {{"held-out problems", any_after ? "before RL" : "result", "after RL"}};
  for (const Comparison& comparison : summary.comparisons) {
    const auto row = [&](const std::string& name, auto text) {
      rows.push_back({name + ", " + temperature_text(comparison.before), text(comparison.before),
                      comparison.after ? text(*comparison.after) : ""});
    };
    row("right answers", accuracy_text);
    row("answers that think", [](const Evaluation& e) { return percent(e.thinking_share); });
    row("mean length, tokens", [](const Evaluation& e) { return fmt::format("{:.1f}", e.mean_tokens); });
    row("cut at the limit", [](const Evaluation& e) { return percent(e.truncated_share); });
  }
  if (!any_after)
    for (Row& row : rows) row.pop_back();
  return rows;
}

std::vector<Row> stage_rows(const RunSummary& summary) {
  std::vector<Row> rows = {{"stage", "steps", "tokens", "seconds", "tokens/s", "of peak"}};
  for (const StageSummary& stage : summary.stages)
    rows.push_back({stage.name, fmt::format("{}", stage.steps), short_number(stage.tokens),
                    fmt::format("{:.1f}", stage.seconds), rate_text(stage),
                    stage.peak_share ? fmt::format("{:.0f} %", 100 * *stage.peak_share) : "-"});
  return rows;
}

std::vector<Row> text_rows(const TextEvaluation& text) {
  return {{"validation text", "result"},
          {"bits per byte", fmt::format("{:.4f}", text.bits_per_byte)},
          {"loss, nats a token", fmt::format("{:.4f}", text.loss)},
          {"tokens scored", short_number(double(text.tokens))},
          {"bytes of text", short_number(double(text.bytes))}};
}

std::string samples_markdown(const std::vector<TextSample>& samples) {
  std::string out = samples.empty() ? "" : "## Samples\n\n";
  for (const TextSample& sample : samples)
    out += fmt::format("{} …\n\n{}\n", escape_markdown(sample.prompt), markdown_block(sample.continuation));
  return out;
}

std::string transcripts_markdown(const std::string& title, const std::vector<Transcript>& transcripts) {
  if (transcripts.empty()) return "";
  std::string out = "## " + title + "\n\n";
  for (const Transcript& transcript : transcripts) {
    out += fmt::format("{}: {}", transcript.right ? "✅ right" : "❌ wrong", escape_markdown(transcript.question));
    if (!transcript.expected.empty()) out += fmt::format(" (expected: {})", escape_markdown(transcript.expected));
    out += "\n\n" + markdown_block(transcript.completion) + "\n";
  }
  return out;
}

std::optional<ChartSeries> find_series(const MetricsWriter& metrics, const std::string& stage, const std::string& name,
                                       const std::string& label) {
  MetricSeries series = metrics.series(stage, name);
  if (series.values.empty()) return {};
  return ChartSeries{label, std::move(series.steps), std::move(series.values)};
}

// One line over the steps of all stages, one stage after another, with a mark where each begins.
LineChart over_stages(const MetricsWriter& metrics, const std::vector<std::string>& stages, const std::string& name,
                      LineChart chart) {
  double offset = 0;
  for (const std::string& stage : stages) {
    auto series = find_series(metrics, stage, name, stage);
    if (!series) continue;
    for (double& step : series->x) step += offset;
    if (offset > 0) chart.marks.push_back({offset, stage});
    offset = *std::max_element(series->x.begin(), series->x.end());
    chart.series.push_back(std::move(*series));
  }
  return chart;
}

LineChart over_rl(const MetricsWriter& metrics, const std::vector<std::pair<std::string, std::string>>& names,
                  LineChart chart) {
  chart.x_label = "RL step";
  for (const auto& [name, label] : names)
    if (auto series = find_series(metrics, "rl", name, label)) chart.series.push_back(std::move(*series));
  return chart;
}

HeatMap load_map(const RunSummary& summary) {
  HeatMap map{.title = "Expert load at the end of each stage (1 = even share)",
              .x_label = "expert",
              .row_names = {},
              .rows = {}};
  for (const ExpertLoad& load : summary.expert_loads)
    for (size_t i = 0; i < std::min(load.layers.size(), load.loads.size()); i++) {
      map.row_names.push_back(fmt::format("{} · layer {}", load.stage, load.layers[i]));
      map.rows.push_back(load.loads[i]);
    }
  return map;
}

OrderedJson evaluation_json(const Evaluation& evaluation) {
  return {{"accuracy", evaluation.accuracy},
          {"standard_error", evaluation.standard_error},
          {"problems", evaluation.problems},
          {"samples", evaluation.samples},
          {"temperature", evaluation.temperature},
          {"mean_tokens", evaluation.mean_tokens},
          {"thinking_share", evaluation.thinking_share},
          {"truncated_share", evaluation.truncated_share}};
}

}  // namespace

std::string escape_markdown(std::string_view text) {
  // Entities for what HTML reads, backslashes for what Markdown reads within a line; both show the character itself. An
  // underscore inside a word and a colon outside a URL mean nothing, and stay as they are.
  const std::string safe = printable(text);
  const auto word = [&](size_t i) { return i < safe.size() && std::isalnum(uint8_t(safe[i])); };
  std::string out;
  for (size_t i = 0; i < safe.size(); i++) {
    const char c = safe[i];
    const bool inside = i > 0 && word(i - 1) && word(i + 1);
    const bool special = c == '_'   ? !inside
                         : c == ':' ? safe.substr(i, 3) == "://"
                                    : kMarkdown.find(c) != kMarkdown.npos;
    if (special) out += '\\';
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\n':
      case '\t': out += ' '; break;
      default: out += c;
    }
  }
  return out;
}

std::string markdown_block(std::string_view text, size_t limit) {
  std::string shown = printable(text.substr(0, limit));
  if (text.size() > limit) shown += fmt::format("\n… {} more bytes", text.size() - limit);
  // A fence ends at a line of as many backticks: ours is longer than any run inside.
  size_t run = 0, longest = 2;
  for (const char c : shown) run = c == '`' ? run + 1 : 0, longest = std::max(longest, run);
  const std::string fence(longest + 1, '`');
  return fence + "text\n" + shown + (shown.ends_with('\n') ? "" : "\n") + fence + "\n";
}

std::vector<ReportChart> report_charts(const RunSummary& summary, const MetricsWriter& metrics) {
  const std::vector<std::string> supervised = {"train", "sft"}, all = {"train", "sft", "rl"};
  std::vector<std::pair<std::string, LineChart>> lines;
  lines.emplace_back(
      "loss.svg",
      over_stages(metrics, supervised, "loss",
                  {.title = "Loss", .x_label = "step", .y_label = "nats a token", .from_zero = true, .smooth = true}));
  lines.emplace_back(
      "bits_per_byte.svg",
      over_stages(metrics, supervised, "val_bpb",
                  {.title = "Validation text", .x_label = "step", .y_label = "bits per byte", .dots = true}));
  lines.emplace_back(
      "reward.svg",
      over_rl(metrics, {{"reward", "reward"}},
              {.title = "Reward of the rollouts", .y_label = "mean reward", .from_zero = true, .smooth = true}));
  lines.emplace_back(
      "accuracy.svg",
      over_rl(metrics, {{"accuracy", "accuracy"}},
              {.title = "Held-out accuracy", .y_label = "right answers", .percent = true, .dots = true}));
  lines.emplace_back(
      "length.svg", over_rl(metrics, {{"length", "length"}},
                            {.title = "Response length", .y_label = "mean tokens", .from_zero = true, .smooth = true}));
  lines.emplace_back(
      "entropy.svg",
      over_rl(metrics, {{"entropy", "entropy"}},
              {.title = "Entropy of the policy", .y_label = "nats a token", .from_zero = true, .smooth = true}));
  lines.emplace_back("logprob_gap.svg", over_rl(metrics, {{"logprob_gap", "mean"}, {"logprob_gap_max", "largest"}},
                                                {.title = "Log-probabilities: sampler against trainer",
                                                 .y_label = "|difference| a token",
                                                 .from_zero = true}));
  lines.emplace_back("balance.svg", over_stages(metrics, all, "max_violation",
                                                {.title = "Expert balance",
                                                 .x_label = "step",
                                                 .y_label = "largest load over the even share, - 1",
                                                 .from_zero = true,
                                                 .smooth = true}));
  std::vector<ReportChart> charts;
  for (const auto& [file, chart] : lines)
    if (!chart.series.empty()) charts.push_back({file, chart.title, line_chart_svg(chart)});
  if (const HeatMap map = load_map(summary); !map.rows.empty())
    charts.push_back({"expert_load.svg", "Expert load", heat_map_svg(map)});
  return charts;
}

std::string report_markdown(const RunSummary& summary, const std::vector<ReportChart>& charts) {
  std::string out = fmt::format("# {}: {}\n\n", escape_markdown(summary.recipe), escape_markdown(summary.task));
  out += fmt::format("Seed {}, {}, {} threads, {}; {} parameters, {} active for a token; {} in all.\n\n", summary.seed,
                     escape_markdown(summary.dtype), summary.threads, escape_markdown(summary.machine),
                     short_number(double(summary.parameters)), short_number(double(summary.active_parameters)),
                     clock_text(summary.seconds));
  if (!summary.comparisons.empty()) {
    const Evaluation& first = summary.comparisons[0].before;
    out += fmt::format("## Result\n\n{}\n{} held-out problems; ± is one standard error.\n\n",
                       markdown_table(comparison_rows(summary)), first.problems);
  }
  if (summary.text) out += fmt::format("## Result\n\n{}\n", markdown_table(text_rows(*summary.text)));
  if (!summary.stages.empty()) out += "## Stages\n\n" + markdown_table(stage_rows(summary)) + "\n";
  if (!charts.empty()) out += "## Curves\n\n";
  for (const ReportChart& chart : charts) out += fmt::format("![{}]({})\n\n", escape_markdown(chart.title), chart.file);
  out += transcripts_markdown("Answers before RL", summary.before);
  out += transcripts_markdown("Answers after RL", summary.after);
  out += samples_markdown(summary.texts);
  std::vector<Row> settings = {{"key", "value"}}, written = {{"path", "what"}};
  for (const auto& [key, value] : summary.settings) settings.push_back({key, value});
  for (const auto& [path, what] : summary.written) written.push_back({path, what});
  if (written.size() > 1) out += "## Written\n\n" + markdown_table(written, false) + "\n";
  if (!summary.next_command.empty()) out += "Next:\n\n" + markdown_block(summary.next_command) + "\n";
  if (settings.size() > 1) out += "## Settings\n\n" + markdown_table(settings, false);
  return out;
}

std::string summary_json(const RunSummary& summary) {
  OrderedJson json = {{"recipe", summary.recipe},
                      {"task", summary.task},
                      {"seed", summary.seed},
                      {"dtype", summary.dtype},
                      {"threads", summary.threads},
                      {"machine", summary.machine},
                      {"parameters", summary.parameters},
                      {"active_parameters", summary.active_parameters},
                      {"seconds", summary.seconds}};
  json["stages"] = OrderedJson::object();
  for (const StageSummary& stage : summary.stages) {
    OrderedJson& entry = json["stages"][stage.name];
    entry = {{"steps", stage.steps}, {"seconds", stage.seconds}, {"tokens", std::llround(stage.tokens)}};
    entry["tokens_per_second"] = stage.seconds > 0 ? OrderedJson(stage.tokens / stage.seconds) : OrderedJson();
    entry["peak_share"] = stage.peak_share ? OrderedJson(*stage.peak_share) : OrderedJson();
  }
  // The headline numbers stand at the top level under plain names; all evaluations follow.
  if (!summary.comparisons.empty()) {
    const Comparison& first = summary.comparisons[0];
    json["accuracy_before"] = first.before.accuracy;
    if (first.after) json["accuracy_after"] = first.after->accuracy;
  }
  if (summary.text) {
    json["bits_per_byte"] = summary.text->bits_per_byte;
    json["validation_loss"] = summary.text->loss;
    json["validation_tokens"] = summary.text->tokens;
    json["validation_bytes"] = summary.text->bytes;
  }
  json["evaluations"] = OrderedJson::array();
  for (const Comparison& comparison : summary.comparisons) {
    OrderedJson entry = {{"before", evaluation_json(comparison.before)}};
    if (comparison.after) entry["after"] = evaluation_json(*comparison.after);
    json["evaluations"].push_back(std::move(entry));
  }
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

void write_report(const Path& run_dir, const RunSummary& summary, const MetricsWriter& metrics) {
  const std::vector<ReportChart> charts = report_charts(summary, metrics);
  for (const ReportChart& chart : charts) write_file(run_dir / chart.file, chart.svg);
  write_file(run_dir / "report.md", report_markdown(summary, charts));
  write_file(run_dir / "summary.json", summary_json(summary));
}

std::string summary_text(const RunSummary& summary) {
  std::string out;
  if (!summary.comparisons.empty()) out += text_table(comparison_rows(summary)) + "\n";
  if (summary.text) out += text_table(text_rows(*summary.text)) + "\n";
  if (!summary.stages.empty()) out += text_table(stage_rows(summary)) + "\n";
  std::vector<Row> written;
  for (const auto& [path, what] : summary.written) written.push_back({printable(path), printable(what)});
  if (!written.empty()) {
    size_t widest = 0;
    for (const Row& row : written) widest = std::max(widest, columns_of(row[0]));
    out += "  written\n";
    for (const Row& row : written)
      out += fmt::format("    {}{}  {}\n", row[0], std::string(widest - columns_of(row[0]), ' '), row[1]);
    out += "\n";
  }
  if (!summary.next_command.empty()) out += fmt::format("  next: {}\n", printable(summary.next_command));
  return out;
}

}  // namespace tenth
