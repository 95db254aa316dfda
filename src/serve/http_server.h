// An HTTP/1.1 server: connections, limits, keep-alive, streams. It knows no routes. Everything of the network runs on
// one thread (the one that calls run); handlers run on a few others, and may answer from any thread at any later time.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenth {

// Bounds on what one client may hold (reference/serving.md, section 10).
struct HttpLimits {
  size_t header_bytes = 16 << 10, target_bytes = 8 << 10, body_bytes = 16 << 20;
  int header_seconds = 10, body_seconds = 30;
  int idle_seconds = 60;            // between requests of one connection
  int stall_seconds = 60;           // a client that reads nothing for so long is dropped
  size_t buffered_bytes = 1 << 20;  // of one stream's unread output; more: dropped
  int connections = 4096;
};

struct ClientRequest {
  std::string method, path, query, body;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string client;                          // address

  // Empty where there is none.
  const std::string& header(const std::string& name) const;
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// The answer to one request, whole or streamed. Every function may be called from any thread; after the client is gone
// they do nothing. None may outlive its server.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual void reply(int status, HttpHeaders headers, std::string body) = 0;
  // A stream: its beginning, its parts, its end.
  virtual void begin(int status, HttpHeaders headers) = 0;
  virtual void write(std::string_view part) = 0;
  virtual void end() = 0;
  // Called once, on the network's thread, when the client is gone before the end; at once if it is already.
  virtual void on_gone(std::function<void()> call) = 0;
};

class HttpServer {
 public:
  using Handler = std::function<void(const ClientRequest&, std::shared_ptr<HttpExchange>)>;

  // Binds at once: throws kInput for an address that is none and kIo where the port is taken. port 0: any free one.
  HttpServer(const std::string& address, uint16_t port, const HttpLimits& limits, Handler handler);
  ~HttpServer();

  uint16_t port() const;
  // Serves until stop(). Throws nothing that a client could cause.
  void run();
  // Calls f on the network's thread, soon.
  void post(std::function<void()> f);
  // The same every so many milliseconds, while run() runs; to be asked for before it.
  void every(int milliseconds, std::function<void()> f);
  // New connections are refused from now on, and each open one is closed behind the answer that it waits for.
  void drain();
  // Ends run(); open connections are cut. May be called from any thread.
  void stop();
  // After run() has ended: returns when no handler runs any more.
  void wait_for_handlers();

  // Of connections now open, and of those among them that wait for an answer or read one.
  int64_t connections() const;
  int64_t busy() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace tenth
