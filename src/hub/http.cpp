#include "hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/error.h"
#include "base/interrupt.h"

namespace tenth {
namespace {

constexpr int kMaxRedirects = 10;

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlDeleter>;

Url parse_url(const std::string& text) {
  Url url(curl_url());
  const bool good = url && curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) == CURLUE_OK;
  require(good, ErrorKind::kInput, "{}: expected a URL", text);
  return url;
}

std::string part(const Url& url, CURLUPart what, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), what, &text, flags) != CURLUE_OK) return "";
  std::string out = text;
  curl_free(text);
  return out;
}

// Scheme, host and port: who gets to see a token.
std::string origin_of(const std::string& text) {
  const Url url = parse_url(text);
  return part(url, CURLUPART_SCHEME) + "://" + part(url, CURLUPART_HOST) + ":" +
         part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

std::string scheme_of(const std::string& text) { return part(parse_url(text), CURLUPART_SCHEME); }

// Where a redirect leads; location may be relative.
std::string target_of(const std::string& from, const std::string& location) {
  const Url url = parse_url(from);
  const bool good = curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) == CURLUE_OK;
  require(good, ErrorKind::kInput, "{}: expected a redirect to a URL, got {}", from, location);
  const std::string target = part(url, CURLUPART_URL), scheme = scheme_of(target);
  require(scheme == "https" || (scheme == "http" && scheme_of(from) == "http"), ErrorKind::kInput,
          "{}: expected a redirect to https, got {}", from, target);
  return target;
}

struct Transfer {
  HttpResponse response;
  const HttpClient::Body* body;
  bool stopped = false;
  std::exception_ptr thrown;
};

size_t on_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  std::string line(data, size * count);
  if (line.starts_with("HTTP/")) {  // the last of several answers counts
    transfer.response.headers.clear();
    const size_t space = line.find(' ');
    transfer.response.status = space == line.npos ? 0 : std::atol(line.c_str() + space);
  }
  const size_t colon = line.find(':');
  if (colon == line.npos || transfer.response.headers.size() > 200) return size * count;
  std::string name = line.substr(0, colon), value = line.substr(colon + 1);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  value.erase(0, value.find_first_not_of(" \t"));
  value.erase(value.find_last_not_of(" \t\r\n") + 1);
  transfer.response.headers[name] = value;
  return size * count;
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.response.status != 200 && transfer.response.status != 206) return size * count;
  try {
    if ((*transfer.body)(transfer.response, std::as_bytes(std::span(data, size * count)))) return size * count;
    transfer.stopped = true;
  } catch (...) {
    transfer.thrown = std::current_exception();
  }
  return 0;
}

int on_progress(void*, curl_off_t, curl_off_t, curl_off_t, curl_off_t) { return interrupted(); }

}  // namespace

struct HttpClient::State {
  CURL* curl = nullptr;
};

HttpClient::HttpClient() : state_(std::make_unique<State>()) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  state_->curl = ready == CURLE_OK ? curl_easy_init() : nullptr;
  require(state_->curl != nullptr, ErrorKind::kInternal, "libcurl does not start");
}

HttpClient::~HttpClient() { curl_easy_cleanup(state_->curl); }

HttpResponse HttpClient::get_once(const HttpRequest& request, const std::string& token, const Body& body) {
  CURL* curl = state_->curl;
  curl_easy_reset(curl);  // connections stay open
  Transfer transfer;
  transfer.body = &body;
  transfer.response.url = request.url;
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 30L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "tenth");
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  const std::string range = std::to_string(request.first_byte) + "-";
  if (request.first_byte > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  curl_slist* headers = nullptr;
  if (!token.empty()) headers = curl_slist_append(headers, ("Authorization: Bearer " + token).c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  if (code != CURLE_OK && !transfer.stopped) transfer.response.reason = curl_easy_strerror(code);
  return transfer.response;
}

HttpResponse HttpClient::get(const HttpRequest& request, const Body& body) {
  HttpRequest now = request;
  const std::string first = origin_of(request.url);
  for (int redirects = 0;; redirects++) {
    HttpResponse response = get_once(now, origin_of(now.url) == first ? request.token : "", body);
    const auto location = response.headers.find("location");
    const bool redirect = response.status >= 301 && response.status <= 308 && location != response.headers.end();
    if (!redirect) return response;
    require(redirects < kMaxRedirects, ErrorKind::kInput, "{}: expected at most {} redirects", request.url,
            kMaxRedirects);
    now.url = target_of(now.url, location->second);
  }
}

HttpResponse HttpClient::get(const HttpRequest& request, std::string& body, size_t limit) {
  return get(request, [&](const HttpResponse&, std::span<const std::byte> bytes) {
    require(body.size() + bytes.size() <= limit, ErrorKind::kInput, "{}: expected an answer of at most {} bytes",
            request.url, limit);
    body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return true;
  });
}

}  // namespace tenth
