// Statements: what stands between {% and %}.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "jinja/expression_parser.h"

namespace tenth::jinja {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view source) : in_(tokenize(source)) {}

  Body run() {
    Body body = until({});
    if (!in_.at(Token::kEnd)) in_.wrong("the end of the template");
    return body;
  }

 private:
  using Words = std::initializer_list<std::string_view>;

  // Statements up to a tag that begins with one of the words, whose name is the next token then.
  Body until(Words words) {
    const ExpressionParser::Nested nested(in_);
    Body body;
    for (;;) {
      if (in_.at(Token::kEnd)) return body;
      if (in_.at(Token::kText)) {
        body.push_back(make(Statement::kText));
        body.back().text = in_.take().text;
      } else if (in_.at(Token::kPrintBegin)) {
        in_.take();
        body.push_back(make(Statement::kPrint));
        body.back().value = in_.expression_list();
        in_.expect(Token::kPrintEnd, "\"}}\"");
      } else {
        in_.expect(Token::kBlockBegin, "a tag");
        if (!in_.at(Token::kName)) in_.wrong("the name of a tag");
        const std::string& word = in_.now().text;
        if (std::find(words.begin(), words.end(), word) != words.end()) return body;
        body.push_back(statement());
      }
    }
  }

  Statement make(Statement::Kind kind) const {
    Statement statement;
    statement.kind = kind;
    statement.line = in_.now().line;
    return statement;
  }

  void block_end() { in_.expect(Token::kBlockEnd, "\"%}\""); }

  // The body of a block and its end tag.
  Body body_until(std::string_view end) {
    block_end();
    Body body = until({end});
    finish(end);
    return body;
  }

  void finish(std::string_view end) {
    if (!in_.skip_name(end)) in_.wrong(fmt::format("{{% {} %}}", end));
    block_end();
  }

  Statement statement() {
    const std::string word = in_.now().text;
    if (word == "if") return conditional();
    if (word == "for") return loop();
    if (word == "set") return assignment();
    if (word == "macro") return macro();
    if (word == "call") return call_block();
    if (word == "filter") return filter_block();
    if (word == "with") return with();
    if (word == "generation") return group();
    if (word == "break" || word == "continue") {
      if (loops_ == 0) in_.wrong(fmt::format("{} only within a loop", word));
      Statement statement = make(word == "break" ? Statement::kBreak : Statement::kContinue);
      in_.take();
      block_end();
      return statement;
    }
    static constexpr std::string_view kLeftOut[] = {"include", "import", "from",  "extends",   "block",
                                                    "do",      "trans",  "debug", "autoescape"};
    if (std::find(std::begin(kLeftOut), std::end(kLeftOut), word) != std::end(kLeftOut))
      fail(ErrorKind::kUnsupported, "line {}: the tag {} is not supported", in_.now().line, word);
    in_.wrong("a tag of the language");
  }

  Statement conditional() {
    Statement statement = make(Statement::kIf);
    in_.take();
    for (;;) {
      ExpressionPtr condition = in_.expression_list();
      block_end();
      statement.branches.push_back({std::move(condition), until({"elif", "else", "endif"})});
      if (!in_.skip_name("elif")) break;
    }
    if (in_.skip_name("else")) {
      block_end();
      statement.branches.push_back({nullptr, until({"endif"})});
    }
    finish("endif");
    return statement;
  }

  Statement loop() {
    Statement statement = make(Statement::kFor);
    in_.take();
    statement.target = in_.target(false);
    if (!in_.skip_name("in")) in_.wrong("\"in\"");
    statement.value = in_.expression_list(false);
    if (in_.skip_name("if")) statement.condition = in_.expression();
    if (in_.at_name("recursive"))
      fail(ErrorKind::kUnsupported, "line {}: recursive loops are not supported", statement.line);
    block_end();
    loops_++;
    statement.branches.push_back({nullptr, until({"else", "endfor"})});
    loops_--;
    if (in_.skip_name("else")) {
      block_end();
      statement.branches.push_back({nullptr, until({"endfor"})});
    }
    finish("endfor");
    return statement;
  }

  Statement assignment() {
    Statement statement = make(Statement::kSet);
    in_.take();
    statement.target = in_.target(true);
    if (in_.skip_operator("=")) {
      statement.value = in_.expression_list();
      block_end();
      return statement;
    }
    statement.kind = Statement::kSetBlock;
    statement.value = in_.filters(captured());
    statement.branches.push_back({nullptr, body_until("endset")});
    return statement;
  }

  ExpressionPtr captured() const {
    auto expression = std::make_unique<Expression>();
    expression->kind = Expression::kCaptured;
    expression->line = in_.now().line;
    return expression;
  }

  std::vector<Parameter> parameters() {
    std::vector<Parameter> list;
    in_.expect_operator("(");
    while (!in_.skip_operator(")")) {
      if (!list.empty()) in_.expect_operator(",");
      if (in_.skip_operator(")")) break;
      Parameter parameter{in_.expect_name(), nullptr};
      if (in_.skip_operator("="))
        parameter.standard = in_.expression();
      else if (!list.empty() && list.back().standard)
        in_.wrong("a default, as the parameters before it have");
      list.push_back(std::move(parameter));
    }
    return list;
  }

  // A loop around a macro is none within it.
  Body closed_body(std::string_view end) {
    const int outside = std::exchange(loops_, 0);
    Body body = body_until(end);
    loops_ = outside;
    return body;
  }

  Statement macro() {
    Statement statement = make(Statement::kMacro);
    in_.take();
    statement.text = in_.expect_name();
    statement.parameters = parameters();
    statement.branches.push_back({nullptr, closed_body("endmacro")});
    return statement;
  }

  Statement call_block() {
    Statement statement = make(Statement::kCallBlock);
    in_.take();
    if (in_.at_operator("(")) statement.parameters = parameters();
    statement.value = in_.expression();
    if (statement.value->kind != Expression::kCall) in_.wrong("a call of a macro");
    statement.branches.push_back({nullptr, closed_body("endcall")});
    return statement;
  }

  Statement filter_block() {
    Statement statement = make(Statement::kFilterBlock);
    in_.take();
    statement.value = in_.filters(in_.filter(captured()));
    statement.branches.push_back({nullptr, body_until("endfilter")});
    return statement;
  }

  Statement with() {
    Statement statement = make(Statement::kWith);
    in_.take();
    while (!in_.at(Token::kBlockEnd)) {
      if (!statement.assignments.empty()) in_.expect_operator(",");
      ExpressionPtr target = in_.target(false);
      in_.expect_operator("=");
      statement.assignments.emplace_back(std::move(target), in_.expression());
    }
    statement.branches.push_back({nullptr, body_until("endwith")});
    return statement;
  }

  // {% generation %} marks what the assistant writes, for training; it says nothing about the text.
  Statement group() {
    Statement statement = make(Statement::kGroup);
    in_.take();
    statement.branches.push_back({nullptr, body_until("endgeneration")});
    return statement;
  }

  ExpressionParser in_;
  int loops_ = 0;
};

}  // namespace

Body parse(std::string_view source) { return Parser(source).run(); }

}  // namespace tenth::jinja
