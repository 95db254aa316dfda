// tenth: one binary, one subcommand a job. Errors are one line on standard error; the exit code is 1 for what input or
// the system caused, 2 for a wrong command line.
#include <cstdio>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/tokenize.h"

int main(int argc, char** argv) {
  CLI::App app{"tenth: train, reinforce and run DeepSeek-style models"};
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  tenth::add_train_commands(app);
  tenth::add_eval_commands(app);
  tenth::add_generate_commands(app);
  tenth::add_score_commands(app);
  tenth::add_tokenize_commands(app);
  tenth::add_inspect_commands(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : 2;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "tenth: out of memory\n");
    return 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tenth: %s\n", e.what());
    return 1;
  }
  return 0;
}
