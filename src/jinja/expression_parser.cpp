#include "jinja/expression_parser.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"

namespace tenth::jinja {
namespace {

constexpr int kMaxNesting = 100;  // brackets and blocks within each other
constexpr int kMaxHeight = 400;   // of an expression: a + b + c is 3

bool one_of(const Token& token, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), token.text) != words.end();
}

}  // namespace

ExpressionParser::Nested::Nested(ExpressionParser& p) : parser(p) {
  if (++parser.depth_ > kMaxNesting) parser.wrong(fmt::format("at most {} levels of nesting", kMaxNesting));
}

void ExpressionParser::wrong(const std::string& expected) const {
  const std::string got = now().kind == Token::kEnd    ? "the end of the template"
                          : now().kind == Token::kText ? "text"
                          : now().text.empty()         ? "the end of the tag"
                                                       : fmt::format("\"{}\"", now().text.substr(0, 40));
  fail(ErrorKind::kInput, "line {}: expected {}, got {}", now().line, expected, got);
}

bool ExpressionParser::skip_operator(std::string_view text) {
  if (!at_operator(text)) return false;
  take();
  return true;
}

bool ExpressionParser::skip_name(std::string_view text) {
  if (!at_name(text)) return false;
  take();
  return true;
}

void ExpressionParser::expect_operator(std::string_view text) {
  if (!skip_operator(text)) wrong(fmt::format("\"{}\"", text));
}

std::string ExpressionParser::expect_name() {
  if (!at(Token::kName)) wrong("a name");
  return take().text;
}

void ExpressionParser::expect(Token::Kind kind, const char* what) {
  if (!at(kind)) wrong(what);
  take();
}

void ExpressionParser::measure(Expression& expression) const {
  int height = 0;
  for (const auto& kid : expression.kids)
    if (kid) height = std::max(height, kid->height);
  for (const auto& [name, kid] : expression.named) height = std::max(height, kid->height);
  expression.height = height + 1;
  if (expression.height > kMaxHeight) wrong(fmt::format("an expression of at most {} steps", kMaxHeight));
}

ExpressionPtr ExpressionParser::make(Expression::Kind kind, int line, std::vector<ExpressionPtr> kids) const {
  auto expression = std::make_unique<Expression>();
  expression->kind = kind;
  expression->line = line;
  expression->kids = std::move(kids);
  measure(*expression);
  return expression;
}

namespace {

template <class... Kids>
std::vector<ExpressionPtr> list_of(Kids... kids) {
  std::vector<ExpressionPtr> list;
  (list.push_back(std::move(kids)), ...);
  return list;
}

}  // namespace

ExpressionPtr ExpressionParser::named(Expression::Kind kind, std::string name, std::vector<ExpressionPtr> kids) const {
  auto expression = make(kind, now().line, std::move(kids));
  expression->name = std::move(name);
  return expression;
}

ExpressionPtr ExpressionParser::expression(bool with_condition) {
  const Nested nested(*this);
  ExpressionPtr value = either();
  while (with_condition && at_name("if")) {
    const int line = take().line;
    ExpressionPtr condition = either(), otherwise;
    if (skip_name("else")) otherwise = expression();
    value = make(Expression::kCondition, line, list_of(std::move(condition), std::move(value), std::move(otherwise)));
  }
  return value;
}

ExpressionPtr ExpressionParser::expression_list(bool with_condition) {
  const int line = now().line;
  ExpressionPtr first = expression(with_condition);
  if (!at_operator(",")) return first;
  auto items = list_of(std::move(first));
  while (skip_operator(",")) {
    if (at(Token::kBlockEnd) || at(Token::kPrintEnd) || at_operator(")") || at_name("recursive")) break;
    items.push_back(expression(with_condition));
  }
  return make(Expression::kTuple, line, std::move(items));
}

ExpressionPtr ExpressionParser::target(bool attributes) {
  const Nested nested(*this);
  const int line = now().line;
  std::vector<ExpressionPtr> items;
  bool tuple = false;
  do {
    if (!items.empty() && !at(Token::kName) && !at_operator("(")) break;  // behind the last comma
    if (skip_operator("(")) {
      items.push_back(target(attributes));
      expect_operator(")");
    } else {
      items.push_back(named(Expression::kName, expect_name(), {}));
      if (attributes && skip_operator("."))
        items.back() = named(Expression::kAttribute, expect_name(), list_of(std::move(items.back())));
    }
    tuple = tuple || at_operator(",");
  } while (skip_operator(","));
  return tuple ? make(Expression::kTuple, line, std::move(items)) : std::move(items[0]);
}

ExpressionPtr ExpressionParser::chain(Expression::Kind kind, const char* word,
                                      ExpressionPtr (ExpressionParser::*part)()) {
  auto parts = list_of((this->*part)());
  const int line = now().line;
  while (skip_name(word)) parts.push_back((this->*part)());
  return parts.size() == 1 ? std::move(parts[0]) : make(kind, line, std::move(parts));
}

ExpressionPtr ExpressionParser::either() { return chain(Expression::kOr, "or", &ExpressionParser::both); }
ExpressionPtr ExpressionParser::both() { return chain(Expression::kAnd, "and", &ExpressionParser::negation); }

ExpressionPtr ExpressionParser::negation() {
  if (!at_name("not")) return comparison();
  const Nested nested(*this);
  const int line = take().line;
  return make(Expression::kNot, line, list_of(negation()));
}

// "==", …, "in", "not in"; empty where there is none.
std::string ExpressionParser::comparison_operator() {
  if (at(Token::kOperator) && one_of(now(), {"==", "!=", "<", "<=", ">", ">="})) return take().text;
  if (skip_name("in")) return "in";
  if (!at_name("not") || tokens_[at_ + 1].kind != Token::kName || tokens_[at_ + 1].text != "in") return "";
  take();
  take();
  return "not in";
}

ExpressionPtr ExpressionParser::comparison() {
  const int line = now().line;
  auto parts = list_of(sum());
  std::vector<std::string> operators;
  for (std::string op = comparison_operator(); !op.empty(); op = comparison_operator()) {
    operators.push_back(op);
    parts.push_back(sum());
  }
  if (operators.empty()) return std::move(parts[0]);
  ExpressionPtr compare = make(Expression::kCompare, line, std::move(parts));
  compare->names = std::move(operators);
  return compare;
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = concatenation();
  while (at_operator("+") || at_operator("-")) {
    const std::string op = take().text;
    left = named(Expression::kBinary, op, list_of(std::move(left), concatenation()));
  }
  return left;
}

ExpressionPtr ExpressionParser::concatenation() {
  const int line = now().line;
  auto parts = list_of(product());
  while (skip_operator("~")) parts.push_back(product());
  return parts.size() == 1 ? std::move(parts[0]) : make(Expression::kConcatenate, line, std::move(parts));
}

ExpressionPtr ExpressionParser::product() {
  ExpressionPtr left = power();
  while (at(Token::kOperator) && one_of(now(), {"*", "/", "//", "%"})) {
    const std::string op = take().text;
    left = named(Expression::kBinary, op, list_of(std::move(left), power()));
  }
  return left;
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary();
  while (skip_operator("**")) left = named(Expression::kBinary, "**", list_of(std::move(left), unary()));
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  ExpressionPtr value;
  if (at_operator("-") || at_operator("+")) {
    const Nested nested(*this);
    const Token sign = take();
    const auto kind = sign.text == "-" ? Expression::kNegative : Expression::kPositive;
    value = make(kind, sign.line, list_of(unary(false)));
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::primary() {
  const Token token = now();
  auto constant = [&](Value value) {
    auto expression = make(Expression::kConstant, token.line);
    expression->value = std::move(value);
    return expression;
  };
  switch (token.kind) {
    case Token::kName:
      take();
      if (one_of(token, {"true", "True"})) return constant(true);
      if (one_of(token, {"false", "False"})) return constant(false);
      if (one_of(token, {"none", "None"})) return constant(None{});
      return named(Expression::kName, token.text, {});
    case Token::kString: {
      std::string text;
      while (at(Token::kString)) text += take().text;  // neighbours are one
      return constant(text);
    }
    case Token::kInteger: take(); return constant(int64_t(std::strtoll(token.text.c_str(), nullptr, 10)));
    case Token::kFloat: take(); return constant(std::strtod(token.text.c_str(), nullptr));
    case Token::kOperator: return brackets();
    default: wrong("an expression");
  }
}

ExpressionPtr ExpressionParser::brackets() {
  const Nested nested(*this);
  const int line = now().line;
  if (skip_operator("(")) {
    if (skip_operator(")")) return make(Expression::kTuple, line);
    ExpressionPtr value = expression_list();
    expect_operator(")");
    return value;
  }
  if (at_operator("{")) return dict();
  expect_operator("[");
  std::vector<ExpressionPtr> items;
  while (!skip_operator("]")) {
    if (!items.empty()) expect_operator(",");
    if (skip_operator("]")) break;
    items.push_back(expression());
  }
  return make(Expression::kList, line, std::move(items));
}

ExpressionPtr ExpressionParser::dict() {
  const int line = take().line;
  std::vector<ExpressionPtr> items;
  while (!skip_operator("}")) {
    if (!items.empty()) expect_operator(",");
    if (skip_operator("}")) break;
    items.push_back(expression());
    expect_operator(":");
    items.push_back(expression());
  }
  return make(Expression::kDict, line, std::move(items));
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr value) {
  for (;;) {
    if (skip_operator(".")) {
      if (at(Token::kInteger)) {
        value = make(Expression::kItem, now().line, list_of(std::move(value), primary()));
      } else {
        std::string name = expect_name();
        value = named(Expression::kAttribute, std::move(name), list_of(std::move(value)));
      }
    } else if (at_operator("[")) {
      value = subscript(std::move(value));
    } else if (at_operator("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value) {
  const int line = take().line;
  ExpressionPtr parts[3];
  size_t colons = 0;
  while (!at_operator("]")) {
    if (skip_operator(":")) {
      if (++colons > 2) wrong("at most two colons");
    } else if (parts[colons]) {
      wrong("\"]\"");
    } else {
      parts[colons] = expression();
    }
  }
  take();
  if (colons > 0)
    return make(Expression::kSlice, line,
                list_of(std::move(value), std::move(parts[0]), std::move(parts[1]), std::move(parts[2])));
  if (!parts[0]) wrong("an index");
  return make(Expression::kItem, line, list_of(std::move(value), std::move(parts[0])));
}

ExpressionPtr ExpressionParser::call(ExpressionPtr value) {
  const int line = now().line;
  ExpressionPtr call = make(Expression::kCall, line, list_of(std::move(value)));
  arguments(*call);
  return call;
}

void ExpressionParser::arguments(Expression& parent) {
  const Nested nested(*this);
  expect_operator("(");
  for (bool first = true; !skip_operator(")"); first = false) {
    if (!first) expect_operator(",");
    if (skip_operator(")")) break;
    if (at_operator("*") || at_operator("**"))
      fail(ErrorKind::kUnsupported, "line {}: arguments with * are not supported", now().line);
    const bool is_named = at(Token::kName) && tokens_[at_ + 1].kind == Token::kOperator && tokens_[at_ + 1].text == "=";
    if (is_named) {
      std::string name = take().text;
      take();
      parent.named.emplace_back(std::move(name), expression());
    } else {
      if (!parent.named.empty()) wrong("name=value, as the arguments before it");
      parent.kids.push_back(expression());
    }
  }
  measure(parent);
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr value) {
  std::string name = expect_name();
  ExpressionPtr filter = named(Expression::kFilter, std::move(name), list_of(std::move(value)));
  if (at_operator("(")) arguments(*filter);
  return filter;
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr value) {
  for (;;) {
    if (skip_operator("|"))
      value = filter(std::move(value));
    else if (skip_name("is"))
      value = test(std::move(value));
    else if (at_operator("("))
      value = call(std::move(value));
    else
      return value;
  }
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  const Nested nested(*this);
  const bool negated = skip_name("not");
  std::string name = expect_name();
  ExpressionPtr test = named(Expression::kTest, std::move(name), list_of(std::move(value)));
  const bool begins_value = at(Token::kString) || at(Token::kInteger) || at(Token::kFloat) || at_operator("[") ||
                            at_operator("{") || (at(Token::kName) && !one_of(now(), {"else", "or", "and", "is"}));
  if (at_operator("(")) {
    arguments(*test);
  } else if (begins_value) {
    test->kids.push_back(postfix(primary()));
    measure(*test);
  } else if (at_name("is")) {
    wrong("one test, not a chain");
  }
  const int line = test->line;
  return negated ? make(Expression::kNot, line, list_of(std::move(test))) : std::move(test);
}

}  // namespace tenth::jinja
