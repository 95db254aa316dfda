// What a request asks of the form of its answer: response_format, grammar, and tools that must be called.
#pragma once
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "chat/tool_format.h"
#include "grammar/grammar.h"
#include "serve/fields.h"

namespace tenth {

// Compiled grammars, the latest used first; those of equal text are shared. Any thread.
class GrammarStore {
 public:
  explicit GrammarStore(std::shared_ptr<const GrammarVocabulary> vocabulary) : vocabulary_(std::move(vocabulary)) {}

  // strict: members in the order of the schema, as OpenAI's strict mode has it; else in any.
  std::shared_ptr<GrammarMasks> of_schema(const OrderedJson& schema, bool strict, const std::string& where);
  std::shared_ptr<GrammarMasks> of_gbnf(const std::string& text, const std::string& where);
  std::shared_ptr<GrammarMasks> any_object();
  // Calls of these tools (a list of OpenAI's form) in the way that the family writes them; one, or one and more.
  std::shared_ptr<GrammarMasks> of_calls(const OrderedJson& tools, ToolFormat format, bool several);

 private:
  template <class Make>
  std::shared_ptr<GrammarMasks> get(std::string key, const Make& make);

  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  std::mutex mutex_;
  std::list<std::pair<std::string, std::shared_ptr<GrammarMasks>>> known_;
};

// Of response_format {"type": "text" | "json_object" | "json_schema", "json_schema": {"schema"}} and `grammar` (GBNF);
// null: free text. Throws ApiError 400.
std::shared_ptr<GrammarMasks> read_format(const Fields& fields, GrammarStore& store);
// Of Responses' text.format, where the schema stands beside the type.
std::shared_ptr<GrammarMasks> read_text_format(const Fields& fields, GrammarStore& store);
// The grammar of such calls, as serve/reply_parser.h reads them and the chat format writes them in a history.
Grammar calls_grammar(const OrderedJson& tools, ToolFormat format, bool several, const GrammarVocabulary& vocabulary);

// Of tools and tool_choice: null unless a call is required.
std::shared_ptr<GrammarMasks> read_required_calls(const Fields& fields, ToolFormat format, GrammarStore& store);

}  // namespace tenth
