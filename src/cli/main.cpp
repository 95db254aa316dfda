// tenth: one binary, one subcommand a job. Errors are one line on standard error; the exit code is 1 for what input or
// the system caused, 2 for a wrong command line.
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/tokenize.h"

namespace {

// Errors are one line, whatever is quoted in them.
void report(std::string what) {
  std::replace(what.begin(), what.end(), '\n', ' ');
  std::fprintf(stderr, "tenth: %s\n", tenth::printable(what).c_str());
}

// Connections of a server and shards of a large text are open files, of which many systems allow a thousand unless a
// program asks for what it may have.
void allow_many_open_files() {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// One line for a wrong command line. word: the first one behind the program's name.
int usage_error(const CLI::App& app, const CLI::ParseError& error, const std::string& word) {
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    commands.push_back(command->get_name());
  std::string what = error.what();
  if (!word.empty() && word[0] != '-' && std::count(commands.begin(), commands.end(), word) == 0)
    what = fmt::format("unknown command {}{}", word, tenth::did_you_mean(word, commands));
  report(what + "; see --help");
  return 2;
}

int run(int argc, char** argv) {
  CLI::App app{"tenth: train, reinforce and run DeepSeek-style models"};
  app.require_subcommand(1);
  tenth::add_train_commands(app);
  tenth::add_data_commands(app);
  tenth::add_sweep_commands(app);
  tenth::add_compare_commands(app);
  tenth::add_eval_commands(app);
  tenth::add_generate_commands(app);
  tenth::add_chat_commands(app);
  tenth::add_score_commands(app);
  tenth::add_tokenize_commands(app);
  tenth::add_perplexity_commands(app);
  tenth::add_convert_commands(app);
  tenth::add_inspect_commands(app);
  tenth::add_pull_commands(app);
  tenth::add_serve_commands(app);
  tenth::add_bench_commands(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return e.get_exit_code() == 0 ? app.exit(e) : usage_error(app, e, argc > 1 ? argv[1] : "");
  } catch (const std::bad_alloc&) {
    report("out of memory");
    return 1;
  } catch (const std::exception& e) {
    report(e.what());
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file above the shell's limit is an error of its write, not the end of us
  allow_many_open_files();
  const int code = run(argc, argv);
  // What was printed may still be in the buffers; a full disk shows here.
  std::cout.flush();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) || !std::cout) {
    report(std::string("standard output: cannot write: ") + std::strerror(errno));
    return code ? code : 1;
  }
  return code;
}
