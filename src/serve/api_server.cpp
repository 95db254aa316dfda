#include "serve/api_server.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "base/clock.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "serve/page.h"
#include "serve/runs_routes.h"
#include "serve/sse.h"

namespace tenth {
namespace {

std::string sha256(const std::string& text) {
  std::string y(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), reinterpret_cast<unsigned char*>(y.data()));
  return y;
}

bool is_loopback(const std::string& host) { return host == "localhost" || host == "::1" || host.starts_with("127."); }

bool speaks_anthropic(const std::string& path) { return path.starts_with("/v1/messages"); }

// Adds headers to an answer and tells when it is over.
class WatchedExchange : public HttpExchange {
 public:
  using Done = std::function<void(int status, int64_t bytes)>;
  WatchedExchange(std::shared_ptr<HttpExchange> inner, HttpHeaders headers, Done done)
      : inner_(std::move(inner)), headers_(std::move(headers)), done_(std::move(done)) {}
  ~WatchedExchange() override { tell(); }

  void reply(int status, HttpHeaders headers, std::string body) override {
    status_ = status;
    bytes_ += int64_t(body.size());
    tell();
    inner_->reply(status, with_ours(std::move(headers)), std::move(body));
  }
  void begin(int status, HttpHeaders headers) override {
    status_ = status;
    inner_->begin(status, with_ours(std::move(headers)));
  }
  void write(std::string_view part) override {
    bytes_ += int64_t(part.size());
    inner_->write(part);
  }
  void end() override {
    tell();
    inner_->end();
  }
  void on_gone(std::function<void()> call) override { inner_->on_gone(std::move(call)); }

 private:
  // Once, and before the client has all of its answer: what it asks for next counts this request.
  void tell() {
    if (!told_.exchange(true)) done_(status_, bytes_);
  }
  HttpHeaders with_ours(HttpHeaders headers) const {
    headers.insert(headers.end(), headers_.begin(), headers_.end());
    return headers;
  }
  std::shared_ptr<HttpExchange> inner_;
  HttpHeaders headers_;
  Done done_;
  std::atomic<int> status_{0};  // 0: the client was gone before there was an answer
  std::atomic<int64_t> bytes_{0};
  std::atomic<bool> told_{false};
};

void reply_error(HttpExchange& exchange, const std::string& path, const ApiError& error) {
  HttpHeaders headers;
  if (error.retry_after() > 0) headers.emplace_back("Retry-After", std::to_string(error.retry_after()));
  if (error.status() == 401) headers.emplace_back("WWW-Authenticate", "Bearer");
  reply_json(exchange, error.status(), speaks_anthropic(path) ? error.anthropic() : error.openai(), std::move(headers));
}

}  // namespace

const std::vector<ApiServer::Route>& ApiServer::routes() {
  static const std::vector<Route> table = {
      {"POST", "/v1/chat/completions", chat_completions, false},
      {"POST", "/v1/completions", completions, false},
      {"POST", "/v1/responses", responses, false},
      {"POST", "/v1/messages", messages, false},
      {"POST", "/v1/messages/count_tokens", count_tokens, false},
      {"GET", "/v1/models", list_models, false},
      {"GET", "/v1/models/*", show_model, false},
      {"POST", "/tokenize", tokenize, false},
      {"POST", "/detokenize", detokenize, false},
      {"POST", "/apply-template", apply_template, false},
      {"GET", "/metrics", show_metrics, false},
      {"GET", "/version", version, false},
      {"GET", "/api/runs", list_runs, false},
      {"GET", "/api/runs/*", show_run, false},
      {"GET", "/health", health, true},
      {"GET", "/", [](const Call& call) { show_page(call.request, *call.exchange); }, true},
      {"GET", "/web/*", [](const Call& call) { show_page(call.request, *call.exchange); }, true},
  };
  return table;
}

ApiServer::ApiServer(const ApiServerOptions& options)
    : options_(options),
      server_(options.host, options.port, options.limits,
              [this](const ClientRequest& request, std::shared_ptr<HttpExchange> exchange) {
                handle(request, std::move(exchange));
              }) {
  require(!options.keys.empty() || is_loopback(options.host), ErrorKind::kInput,
          "--host {}: others can reach this address: an --api-key is needed with it", options.host);
  for (const std::string& key : options.keys) key_hashes_.push_back(sha256(key));
  if (options.access_log == "-") log_ = stderr;
  if (!options.access_log.empty() && !log_) {
    log_ = std::fopen(options.access_log.c_str(), "a");
    require(log_, ErrorKind::kIo, "{}: cannot write the access log", options.access_log);
  }
  network_ = std::thread([this] { server_.run(); });
}

ApiServer::~ApiServer() {
  server_.stop();
  network_.join();
  if (log_ && log_ != stderr) std::fclose(log_);
}

std::string ApiServer::url() const {
  const bool v6 = options_.host.find(':') != std::string::npos;
  return fmt::format("http://{}:{}", v6 ? "[" + options_.host + "]" : options_.host, port());
}

void ApiServer::serve(Service& service) {
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  service.attach(server_);
  service_ = &service;
  while (!interrupted() && !stopping_) pause();
  service.drain();
  server_.drain();
  const double last = monotonic_seconds() + options_.drain_seconds;
  while (service.open() > 0 && monotonic_seconds() < last) pause();
  if (service.open() > 0) {
    server_.post([&] { service.abort_all(ApiError(503, "service_unavailable", "the server is shutting down")); });
    for (int i = 0; i < 50 && (service.open() > 0 || server_.busy() > 0); i++) pause();
  }
  for (int i = 0; i < 50 && server_.busy() > 0; i++) pause();
  server_.stop();
  network_.join();
  network_ = std::thread([] {});
  server_.wait_for_handlers();  // they hold on to the service
  service_ = nullptr;
}

void ApiServer::check_host(const ClientRequest& request) const {
  std::string host = request.header("host");
  if (const size_t colon = host.rfind(':'); colon != host.npos && host.find(']', colon) == host.npos)
    host.resize(colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const auto& more = options_.hosts;
  if (is_loopback(host) || host == options_.host || std::find(more.begin(), more.end(), host) != more.end()) return;
  // With a key a page that was tricked into calling us (DNS rebinding) can do nothing.
  if (!options_.keys.empty() || (host.empty() && request.headers.count("host") == 0)) return;
  throw ApiError(403, "permission_error", fmt::format("Host \"{}\" is not served here: see --allow-host", host));
}

void ApiServer::check_key(const ClientRequest& request) const {
  if (key_hashes_.empty()) return;
  std::string key = request.header("x-api-key");
  const std::string& bearer = request.header("authorization");
  if (key.empty() && bearer.starts_with("Bearer ")) key = bearer.substr(7);
  // Hashes have one length, and all keys are compared: the time tells nothing.
  const std::string hash = sha256(key);
  int equal = 0;
  for (const std::string& known : key_hashes_) equal |= CRYPTO_memcmp(hash.data(), known.data(), hash.size()) == 0;
  if (!equal)
    throw ApiError(401, "authentication_error", key.empty() ? "an API key is needed" : "this API key is not known", "",
                   "invalid_api_key");
}

bool ApiServer::known_origin(const ClientRequest& request) const {
  const auto& known = options_.origins;
  return std::find(known.begin(), known.end(), request.header("origin")) != known.end();
}

void ApiServer::log(const ClientRequest& request, const std::string& id, int status, double seconds, int64_t bytes) {
  if (!log_) return;
  const OrderedJson line = {{"time", int64_t(std::time(nullptr))},
                            {"id", id},
                            {"client", request.client},
                            {"method", request.method},
                            {"path", request.path},
                            {"status", status},
                            {"seconds", seconds},
                            {"bytes", bytes}};
  const std::string text = text_of(line) + "\n";
  const std::lock_guard lock(log_mutex_);
  std::fwrite(text.data(), 1, text.size(), log_);
  std::fflush(log_);
}

void ApiServer::handle(const ClientRequest& request, std::shared_ptr<HttpExchange> raw) {
  const double arrived = monotonic_seconds();
  const std::string id = new_id("req_");
  HttpHeaders headers = {{"x-request-id", id}};
  if (known_origin(request)) {
    headers.emplace_back("Access-Control-Allow-Origin", request.header("origin"));
    headers.emplace_back("Vary", "Origin");
  }
  // The request outlives the handler by what the log wants of it.
  ClientRequest brief;
  brief.client = request.client;
  brief.method = request.method;
  brief.path = request.path;
  std::string route = "other";
  for (const Route& r : routes())
    if (request.path == r.path) route = r.path;
  const auto exchange = std::make_shared<WatchedExchange>(
      std::move(raw), headers, [this, arrived, id, route, brief = std::move(brief)](int status, int64_t bytes) {
        if (Service* service = service_) service->metrics().request(route, brief.method, status);
        log(brief, id, status, monotonic_seconds() - arrived, bytes);
      });
  try {
    Service* service = service_;
    check_host(request);
    if (!service) return answer_early(request, *exchange);
    answer(Call{*service, request, exchange, arrived, options_.runs});
  } catch (const ApiError& error) {
    reply_error(*exchange, request.path, error);
  } catch (const Error& error) {
    // What rooms below refuse of a request's contents: a text without tokens, a template that raises.
    const bool theirs = error.kind() == ErrorKind::kInput || error.kind() == ErrorKind::kUnsupported;
    if (!theirs) std::fprintf(stderr, "request %s: %s\n", id.c_str(), error.what());
    reply_error(*exchange, request.path,
                theirs ? ApiError(400, "invalid_request_error", error.what())
                       : ApiError(500, "server_error", "an error of the server, see its log: " + id));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "request %s: %s\n", id.c_str(), error.what());
    reply_error(*exchange, request.path, ApiError(500, "server_error", "an error of the server, see its log: " + id));
  }
}

// While the model is loaded.
void ApiServer::answer_early(const ClientRequest& request, HttpExchange& exchange) const {
  const bool get = request.method == "GET" || request.method == "HEAD";
  if (get && is_page(request.path)) return show_page(request, exchange);
  if (get && request.path == "/health")
    return reply_json(exchange, 503, {{"status", "loading"}}, {{"Retry-After", "1"}});
  check_key(request);
  throw ApiError(503, "service_unavailable", "the model is being loaded");
}

void ApiServer::answer(const Call& call) {
  const ClientRequest& request = call.request;
  if (request.method == "OPTIONS" && known_origin(request))
    return call.exchange->reply(204,
                                {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                                 {"Access-Control-Allow-Headers", "authorization, content-type, x-api-key"}},
                                "");
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  std::string allowed;
  for (const Route& route : routes()) {
    const std::string_view pattern = route.path;
    const bool any = pattern.ends_with("*");
    if (any ? !request.path.starts_with(pattern.substr(0, pattern.size() - 1)) : request.path != pattern) continue;
    if (route.method != method) {
      allowed = route.method;
      continue;
    }
    if (!route.open) check_key(request);
    const std::string& type = request.header("content-type");
    if (method == "POST" && !type.empty() && !type.starts_with("application/json"))
      throw ApiError(415, "invalid_request_error", "Content-Type: expected application/json, got " + type);
    return route.run(call);
  }
  check_key(request);
  if (!allowed.empty())
    throw ApiError(405, "invalid_request_error", fmt::format("{} takes {} only", request.path, allowed));
  throw ApiError(404, "not_found_error", fmt::format("there is no {} {} here", request.method, request.path));
}

void show_metrics(const Call& call) {
  const Service& service = call.service;
  const EngineStatistics s = service.engine().statistics();
  const DiskPrefixes* prefixes = service.engine().engine().disk();
  const DiskBlocks::Statistics disk = prefixes ? prefixes->statistics() : DiskBlocks::Statistics{};
  const Metrics::Gauges gauges = {.running = s.running,
                                  .waiting = s.waiting,
                                  .connections = service.connections(),
                                  .requests_open = service.open(),
                                  .prompt_tokens = s.prompt_tokens,
                                  .new_tokens = s.new_tokens,
                                  .cached_tokens = s.cached_tokens,
                                  .preemptions = s.preemptions,
                                  .steps = s.steps,
                                  .last_batch = s.last_batch,
                                  .cache_blocks = s.blocks,
                                  .cache_blocks_used = s.blocks_in_use,
                                  .prefix_blocks = s.blocks_of_prefixes,
                                  .disk_blocks = disk.blocks,
                                  .disk_bytes = disk.bytes,
                                  .restored_blocks = s.restored_blocks,
                                  .step_seconds = s.step_seconds,
                                  .model_seconds = s.model_seconds,
                                  .drafts = s.drafts,
                                  .draft_tokens = s.draft_tokens,
                                  .accepted_tokens = s.accepted_tokens,
                                  .accepted_at = s.accepted_at};
  call.exchange->reply(200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}},
                       call.service.metrics().text(service.model().name, gauges));
}

}  // namespace tenth
