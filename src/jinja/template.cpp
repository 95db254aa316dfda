#include "jinja/template.h"

#include "base/error.h"
#include "base/utf8.h"
#include "jinja/interpreter.h"

namespace tenth::jinja {

struct Template::Parsed {
  std::string where;
  Body body;
};

Template::Template(std::string_view source, std::string where) {
  require(source.size() <= kLongest, ErrorKind::kInput, "{}: expected at most {} bytes, got {}", where, kLongest,
          source.size());
  const size_t valid = well_formed_prefix(source);
  require(valid == source.size(), ErrorKind::kInput, "{}: expected UTF-8, got other bytes at {}", where, valid);
  try {
    parsed_ = std::make_shared<const Parsed>(Parsed{where, parse(source)});
  } catch (const Error& e) {
    throw Error(e.kind(), where + ": " + e.what());
  }
}

MarkedText Template::render(const Variables& variables, const Limits& limits) const {
  Interpreter interpreter(variables, limits);
  try {
    return interpreter.run(parsed_->body);
  } catch (const Error& e) {
    throw Error(e.kind(), fmt::format("{}: line {}: {}", parsed_->where, interpreter.line(), e.what()));
  }
}

}  // namespace tenth::jinja
