// The server as a whole: who may call what, the table of routes, errors, the log, start and end.
#pragma once
#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "serve/http_server.h"
#include "serve/routes.h"
#include "serve/service.h"

namespace tenth {

struct ApiServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  HttpLimits limits;
  std::vector<std::string> keys;     // one of them opens every route but /health, the page and its files; none: open
  std::vector<std::string> hosts;    // further names by which browsers may call it
  std::vector<std::string> origins;  // of other pages that may call it (CORS)
  std::string access_log;            // a file, a line of JSON each request; "-": standard error; "": none
  std::string runs;                  // the folder of runs that the page shows; "": none
  int drain_seconds = 30;
};

class ApiServer {
 public:
  // Listens at once; until serve() there are the page and its files, and 503 for all else. Throws as HttpServer does,
  // and kInput for an open address without a key.
  explicit ApiServer(const ApiServerOptions& options);
  ~ApiServer();

  uint16_t port() const { return server_.port(); }
  // "http://127.0.0.1:8080"
  std::string url() const;
  // Serves until interrupted() (base/interrupt.h) or stop(): then no new requests are taken, running ones get
  // drain_seconds, and what still runs is ended with an error event.
  void serve(Service& service);
  void stop() { stopping_ = true; }

 private:
  struct Route {
    const char *method, *path;  // a path that ends in * matches what begins so
    void (*run)(const Call& call);
    bool open;  // without a key
  };
  static const std::vector<Route>& routes();
  void handle(const ClientRequest& request, std::shared_ptr<HttpExchange> exchange);
  void answer(const Call& call);
  void answer_early(const ClientRequest& request, HttpExchange& exchange) const;
  void check_host(const ClientRequest& request) const;
  void check_key(const ClientRequest& request) const;
  bool known_origin(const ClientRequest& request) const;
  void log(const ClientRequest& request, const std::string& id, int status, double seconds, int64_t bytes);

  ApiServerOptions options_;
  std::vector<std::string> key_hashes_;
  std::atomic<Service*> service_{nullptr};
  std::atomic<bool> stopping_{false};
  std::mutex log_mutex_;
  std::FILE* log_ = nullptr;
  HttpServer server_;
  std::thread network_;
};

}  // namespace tenth
