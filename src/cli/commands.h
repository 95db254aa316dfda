// The subcommands. Each function adds one group to the command line; the work is in the rooms below.
#pragma once
#include <CLI/CLI.hpp>

namespace tenth {

void add_train_commands(CLI::App& app);       // train
void add_sweep_commands(CLI::App& app);       // sweep
void add_compare_commands(CLI::App& app);     // compare
void add_data_commands(CLI::App& app);        // data prepare, tokenizer, inspect, verify
void add_score_commands(CLI::App& app);       // score, grad
void add_generate_commands(CLI::App& app);    // generate
void add_chat_commands(CLI::App& app);        // chat
void add_eval_commands(CLI::App& app);        // eval
void add_convert_commands(CLI::App& app);     // convert, quantize
void add_perplexity_commands(CLI::App& app);  // perplexity
void add_inspect_commands(CLI::App& app);     // inspect
void add_pull_commands(CLI::App& app);        // pull
void add_serve_commands(CLI::App& app);       // serve
void add_bench_commands(CLI::App& app);       // bench machine, step, generate, rollouts

}  // namespace tenth
