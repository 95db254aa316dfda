// tenth serve: a model behind an OpenAI-compatible API and a page.
#include <cstdlib>
#include <fstream>

#include "base/interrupt.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/open_model.h"
#include "eval/graded.h"
#include "serve/api_server.h"

namespace tenth {
namespace {

struct ServeOptions {
  ModelOptions model;
  ApiServerOptions server;
  EngineOptions engine;
  ServiceLimits limits;
  std::string name, key_file;
};

std::string served_name(const ServeOptions& options) {
  if (!options.name.empty()) return options.name;
  Path path = Path(options.model.model).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  const std::string name = path.stem().string();
  // runs/demo/model is better known as demo.
  return name == "model" && path.has_parent_path() ? path.parent_path().filename().string() : name;
}

void add_keys(ServeOptions& options) {
  if (const char* key = std::getenv("TENTH_API_KEY"); key && *key) options.server.keys.emplace_back(key);
  if (options.key_file.empty()) return;
  std::ifstream file(options.key_file);
  require(file.good(), ErrorKind::kIo, "{}: cannot be read", options.key_file);
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) options.server.keys.push_back(line);
}

std::shared_ptr<const ChatRenderer> chat_of(const Tokenizer& tokenizer, const std::string& model) {
  try {
    return std::make_shared<const ChatRenderer>(open_chat(tokenizer, model));
  } catch (const Error& e) {
    std::fprintf(stderr, "%s (no /v1/chat/completions)\n", printable(e.what()).c_str());
    return nullptr;
  }
}

void serve(ServeOptions& options) {
  add_keys(options);
  if (options.server.runs.empty() && std::filesystem::is_directory("runs")) options.server.runs = "runs";
  watch_interrupts();
  ApiServer server(options.server);
  std::printf("%s/ is open, %s is loading\n", server.url().c_str(), printable(served_name(options)).c_str());
  std::fflush(stdout);
  const auto model = options.model.load();
  const Tokenizer tokenizer = options.model.load_tokenizer(*model);
  const auto chat = chat_of(tokenizer, options.model.model);
  ServedModel served{
      .name = served_name(options),
      .model = *model,
      .tokenizer = tokenizer,
      .chat = chat,
      .tools = chat ? chat->tools() : ToolFormat::kNone,
      .stop_ids = stop_ids(tokenizer, model->config()),
      .thinking = {.begin = tokenizer.id_of("<think>").value_or(-1), .end = tokenizer.id_of("</think>").value_or(-1)}};
  Service service(std::move(served), options.engine, options.limits);
  const Engine& engine = service.engine().engine();
  const std::string url = server.url();
  std::printf("%s is served at %s\n", service.model().name.c_str(), url.c_str());
  std::printf("  %lld requests run at once; the cache holds %s tokens in %.0f MB; context %lld\n",
              (long long)options.engine.max_sequences, short_number(double(engine.cache_tokens())).c_str(),
              double(engine.cache_bytes()) / 1e6, (long long)service.context());
  if (const DiskPrefixes* disk = engine.disk())
    std::printf("  beginnings of texts stay in %s: %.0f MB of at most %.0f\n",
                printable(options.engine.disk.folder.string()).c_str(), double(disk->statistics().bytes) / 1e6,
                double(options.engine.disk.bytes) / 1e6);
  std::printf("  page     %s/\n", url.c_str());
  std::printf("  OpenAI   base URL %s/v1\n", url.c_str());
  std::printf(
      "  try      curl %s/v1/chat/completions -H 'Content-Type: application/json' \\\n"
      "             -d '{\"model\": \"%s\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n",
      url.c_str(), service.model().name.c_str());
  std::fflush(stdout);
  server.serve(service);
  std::puts("ended");
}

}  // namespace

void add_serve_commands(CLI::App& app) {
  CLI::App* command = app.add_subcommand("serve", "Serve a model: OpenAI's API and a page to talk to it");
  auto options = std::make_shared<ServeOptions>();
  options->model.add_to(*command);
  command->add_option("--host", options->server.host, "Address; others than loopback need an API key")
      ->capture_default_str();
  command->add_option("--port", options->server.port, "Port; 0: any free one")->capture_default_str();
  command->add_option("--name", options->name, "By which clients call the model; the folder's where not given");
  command->add_option("--slots", options->engine.max_sequences, "Requests that run at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  command->add_option("--cache-tokens", options->engine.cache_tokens, "Tokens that the cache holds; 0: as is fit")
      ->capture_default_str()
      ->check(CLI::Range(int64_t(0), int64_t(1) << 31));
  command->add_option("--step-tokens", options->engine.step_tokens, "Tokens of prompts in one step")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  command
      ->add_option(
          "--lookup", options->engine.lookup_drafts,
          "Draft so many tokens of a request, at most, with what followed the last ones where they stood before; "
          "fewer the more requests run; the output is the same; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, kMostDrafts));
  command->add_flag("--speculate", options->engine.module_drafts,
                    "Draft with the multi-token prediction module too, where it is the surer of the two");
  command->add_option("--prefix-cache", options->engine.disk.folder,
                      "Folder in which beginnings of texts stay computed over a restart; none where not given");
  command
      ->add_option("--prefix-cache-size", options->engine.disk.bytes, "Disk that it takes at most: bytes, or 500M, 8G")
      ->default_str("4G")
      ->transform(CLI::AsSizeValue(false));
  command->add_option("--queue", options->limits.queued, "Requests that may wait; further ones get 503")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("--api-key-file", options->key_file, "Keys, one a line (or TENTH_API_KEY)");
  command->add_option("--allow-host", options->server.hosts, "Further names by which browsers may call it");
  command->add_option("--cors-origin", options->server.origins, "Pages of other origins that may call it");
  command->add_option("--access-log", options->server.access_log, "File for a line of JSON each request; -: stderr");
  command->add_option("--runs", options->server.runs, "Folder of runs that the page shows; runs/ where there is one")
      ->check(CLI::ExistingDirectory);
  command->footer("Example: tenth serve runs/demo/model --port 8080");
  command->callback([options] { serve(*options); });
}

}  // namespace tenth
