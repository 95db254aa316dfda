// A parsed template. Expressions and statements know their height, which is bounded, so that walks may recurse.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace tenth::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum Kind {
    kConstant,   // value
    kName,       // name
    kCaptured,   // the text of the block that a filter block or set block holds
    kList,       // kids
    kTuple,      // kids
    kDict,       // kids: key, value, key, value, …
    kAttribute,  // kids[0] . name
    kItem,       // kids[0] [ kids[1] ]
    kSlice,      // kids[0] [ kids[1] : kids[2] : kids[3] ], which may be null
    kCall,       // kids[0] ( kids[1], …, named )
    kFilter,     // kids[0] | name ( kids[1], …, named )
    kTest,       // kids[0] is name ( kids[1], … )
    kNot,
    kNegative,
    kPositive,
    kBinary,       // kids[0] name kids[1], name: + - * / // % **
    kConcatenate,  // kids[0] ~ kids[1] ~ …
    kCompare,      // kids[0] names[0] kids[1] names[1] kids[2] …
    kAnd,
    kOr,
    kCondition  // kids[1] if kids[0] else kids[2], which may be null
  };
  Kind kind;
  int line;
  int height = 1;
  std::string name;
  Value value;
  std::vector<ExpressionPtr> kids;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> names;
};

struct Statement;
using Body = std::vector<Statement>;

struct Parameter {
  std::string name;
  ExpressionPtr standard;  // null: none
};

struct Statement {
  enum Kind {
    kText,         // text
    kPrint,        // value
    kIf,           // branches: the first whose condition is null or true
    kFor,          // target, value, condition (may be null), branches[0] the body, branches[1] where there was no item
    kSet,          // target, value
    kSetBlock,     // target, value over the captured branches[0]
    kMacro,        // name, parameters, branches[0]
    kCallBlock,    // value (a call), parameters, branches[0]
    kFilterBlock,  // value over the captured branches[0]
    kWith,         // assignments, branches[0]
    kGroup,        // branches[0]
    kBreak,
    kContinue
  };
  struct Branch {
    ExpressionPtr condition;
    Body body;
  };
  Kind kind;
  int line;
  std::string text;
  ExpressionPtr target, value, condition;
  std::vector<Parameter> parameters;
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> assignments;
  std::vector<Branch> branches;
};

// Throws kInput "line N: …" for what is no template, kUnsupported for what this interpreter leaves out by design
// (include, import, extends, …).
Body parse(std::string_view source);

}  // namespace tenth::jinja
