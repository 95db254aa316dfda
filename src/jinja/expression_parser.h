// Reads expressions from tokens (the grammar of Jinja2's parser.py: or, and, not, comparison, +-, ~, */ // %, **,
// unary, then . [] () | is).
#pragma once
#include <initializer_list>

#include "jinja/lexer.h"
#include "jinja/syntax.h"

namespace tenth::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  ExpressionPtr expression(bool with_condition = true);
  // One expression, or several with commas between: a tuple.
  ExpressionPtr expression_list(bool with_condition = true);
  // What stands on the left of = or behind `for`: names, name.attribute where attributes are allowed, tuples of these.
  ExpressionPtr target(bool attributes);
  // (a, b, c=1): as values of a call into parent.
  void arguments(Expression& parent);
  // | name(...) | name … over value.
  ExpressionPtr filters(ExpressionPtr value);
  ExpressionPtr filter(ExpressionPtr value);

  const Token& now() const { return tokens_[at_]; }
  bool at(Token::Kind kind) const { return now().kind == kind; }
  bool at_operator(std::string_view text) const { return at(Token::kOperator) && now().text == text; }
  bool at_name(std::string_view text) const { return at(Token::kName) && now().text == text; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  void expect_operator(std::string_view text);
  std::string expect_name();
  void expect(Token::Kind kind, const char* what);
  [[noreturn]] void wrong(const std::string& expected) const;

  // Statements within each other count as expressions do.
  struct Nested {
    ExpressionParser& parser;
    explicit Nested(ExpressionParser& p);
    ~Nested() { parser.depth_--; }
  };

 private:
  ExpressionPtr make(Expression::Kind kind, int line, std::vector<ExpressionPtr> kids = {}) const;
  ExpressionPtr named(Expression::Kind kind, std::string name, std::vector<ExpressionPtr> kids) const;
  ExpressionPtr chain(Expression::Kind kind, const char* word, ExpressionPtr (ExpressionParser::*part)());
  void measure(Expression& expression) const;
  ExpressionPtr either();
  ExpressionPtr both();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary() { return unary(true); }
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr primary();
  ExpressionPtr brackets();
  ExpressionPtr dict();
  ExpressionPtr postfix(ExpressionPtr value);
  ExpressionPtr subscript(ExpressionPtr value);
  ExpressionPtr call(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);
  std::string comparison_operator();

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace tenth::jinja
