#include "serve/page.h"

#include "serve/api_error.h"
#include "serve/web_files.h"

namespace tenth {
namespace {

// Nothing but the server's own files; nothing inline; no other page may frame it.
constexpr const char* kPolicy =
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const char* type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return "text/javascript; charset=utf-8";
}

}  // namespace

bool is_page(const std::string& path) { return path == "/" || path.starts_with("/web/"); }

void show_page(const ClientRequest& request, HttpExchange& exchange) {
  const std::string& path = request.path;
  const std::string_view name = path == "/" ? "index.html" : std::string_view(path).substr(5);
  for (const WebFile& file : web_files()) {
    if (file.name != name) continue;
    return exchange.reply(200,
                          {{"Content-Type", type_of(name)},
                           {"Content-Security-Policy", kPolicy},
                           {"X-Content-Type-Options", "nosniff"},
                           {"Referrer-Policy", "no-referrer"},
                           {"Cache-Control", "no-cache"}},
                          std::string(file.text));
  }
  throw ApiError(404, "not_found_error", fmt::format("there is no {} here", path));
}

}  // namespace tenth
