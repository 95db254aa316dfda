// Requests to a hub over HTTP (libcurl): redirects are followed here and not by the library, so that a token stays with
// the host that it is for.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace tenth {

struct HttpRequest {
  std::string url;
  std::string token;       // sent as "Authorization: Bearer", only to the scheme, host and port of url; may be empty
  int64_t first_byte = 0;  // above 0: the range from there on is asked for
};

struct HttpResponse {
  long status = 0;
  std::string url;                             // that answered, behind redirects
  std::map<std::string, std::string> headers;  // names in small letters
  std::string reason;                          // where the connection broke: why; the rest is then what came before
};

class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Hands the body of an answer with status 200 or 206 to `body` as it comes; bodies of others are dropped. body is
  // called with the response whose headers are complete; false ends the transfer. A connection that breaks or says
  // nothing for 30 seconds is no exception (reason). Throws kInput for a URL that is none, more than 10 redirects, or
  // one to a less safe scheme.
  using Body = std::function<bool(const HttpResponse& response, std::span<const std::byte> bytes)>;
  HttpResponse get(const HttpRequest& request, const Body& body);

  // The whole body, of at most limit bytes (kInput).
  HttpResponse get(const HttpRequest& request, std::string& body, size_t limit);

 private:
  HttpResponse get_once(const HttpRequest& request, const std::string& token, const Body& body);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tenth
