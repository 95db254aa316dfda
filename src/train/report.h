// What a finished run leaves to read: report.md with SVG curves beside it, and summary.json for programs.
//
// The curves come from the metrics. Names that are looked for, each drawn only where it was written:
//   train, sft:         loss; val_bpb (bits per byte of validation text); max_violation (largest expert load over the
//   even
//                       share, minus 1)
//   rl:                 reward, accuracy (held out, 0..1; step 0 is before), length (tokens), entropy (nats),
//                       logprob_gap, logprob_gap_max (|sampler - trainer| a token), max_violation
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "train/metrics.h"

namespace tenth {

struct StageSummary {
  std::string name;  // "train", "sft", "rl"
  int64_t steps = 0;
  double seconds = 0;
  double tokens = 0;                      // trained on, or sampled and trained on
  std::optional<double> peak_share = {};  // 0..1 of the machine's FLOP/s
};

// One evaluation on held-out problems; shares are 0..1.
struct Evaluation {
  int64_t problems = 0, samples = 1;  // samples: answers to each problem
  double temperature = 0;
  double accuracy = 0, standard_error = 0;
  double mean_tokens = 0;
  double thinking_share = 0;   // answers whose think part is not empty
  double truncated_share = 0;  // answers cut at the limit
};

// The same evaluation of the model before RL and after it; after is missing where there was no RL.
struct Comparison {
  Evaluation before;
  std::optional<Evaluation> after = {};
};

struct Transcript {
  std::string question, expected, completion;  // text of the model is hostile; it is escaped here
  bool right = false;
};

// Text that was not trained on (eval/bits_per_byte.h).
struct TextEvaluation {
  double bits_per_byte = 0, loss = 0;  // loss: nats a token
  int64_t tokens = 0, bytes = 0;
};
struct TextSample {
  std::string prompt, continuation;
};

// Load of each expert at the end of a stage, over its even share (1: as many tokens as every other).
struct ExpertLoad {
  std::string stage;
  std::vector<int> layers;                 // numbers of the MoE layers in the model
  std::vector<std::vector<double>> loads;  // (layer, expert)
};

struct RunSummary {
  std::string recipe = {};  // the file's name
  std::string task = {}, machine = {}, dtype = {};
  int64_t seed = 0;
  int threads = 0;
  double seconds = 0;                             // of the whole run, evaluations included
  int64_t parameters = 0, active_parameters = 0;  // active: for one token, without MTP
  std::vector<StageSummary> stages = {};
  std::vector<Comparison> comparisons = {};  // the first one is the headline
  std::vector<Transcript> before = {}, after = {};
  std::optional<TextEvaluation> text = {};
  std::vector<TextSample> texts = {};
  std::vector<ExpertLoad> expert_loads = {};
  std::vector<std::pair<std::string, std::string>> settings = {};  // Recipe::settings()
  std::vector<std::pair<std::string, std::string>> written = {};   // path, what it is
  std::string profile = {};       // where the time went, by operation; empty: not asked for
  std::string next_command = {};  // "build/tenth chat runs/demo/model"
};

// Writes report.md, its *.svg and summary.json into the folder; each file is whole or absent (kIo).
void write_report(const Path& run_dir, const RunSummary& summary, const MetricsWriter& metrics);

// The parts, for those who want them elsewhere and for tests.
struct ReportChart {
  std::string file, title, svg;  // "loss.svg"
};
std::string summary_json(const RunSummary& summary);
std::string report_markdown(const RunSummary& summary, const std::vector<ReportChart>& charts);
std::vector<ReportChart> report_charts(const RunSummary& summary, const MetricsWriter& metrics);

// The end of a run on a terminal: before/after, stages, what was written where, the next command. At most 100 columns.
std::string summary_text(const RunSummary& summary);

// Text as Markdown that shows exactly its characters; line breaks become spaces.
std::string escape_markdown(std::string_view text);
// A fenced block that no content can end early; text beyond `limit` bytes is cut with a note.
std::string markdown_block(std::string_view text, size_t limit = 4000);

}  // namespace tenth
