#include "chat/chat_renderer.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "chat/coded_formats.h"
#include "jinja/template.h"

namespace tenth {
class ChatRenderer::Format {
 public:
  virtual ~Format() = default;
  virtual MarkedText render(const ChatRequest& request) const = 0;
  // Added tokens that the format itself writes.
  const std::vector<int32_t>& framing() const { return framing_; }
  ToolFormat tools() const { return tools_; }

 protected:
  void set_tools(ToolFormat tools) { tools_ = tools; }
  void add_framing(const Tokenizer& tokenizer, std::string_view text) {
    for (int32_t id : tokenizer.added_tokens_in(text))
      if (std::find(framing_.begin(), framing_.end(), id) == framing_.end()) framing_.push_back(id);
  }

 private:
  std::vector<int32_t> framing_;
  ToolFormat tools_ = ToolFormat::kNone;
};

class ChatRenderer::JinjaFormat : public Format {
 public:
  JinjaFormat(const Tokenizer& tokenizer, const std::string& where) {
    for (const auto& [name, source] : tokenizer.chat_templates()) {
      const std::string here = name == "default" ? "" : fmt::format(" \"{}\"", name);
      // What a template refuses later is told to clients, who need not know where it lies.
      try {
        templates_.emplace(name, jinja::Template(source, "chat_template" + here));
      } catch (const Error& e) {
        throw Error(e.kind(), where + ": " + e.what());
      }
      add_framing(tokenizer, source);
      if (tools() == ToolFormat::kNone) set_tools(tool_format_of(source));
    }
    require(templates_.count("default"), ErrorKind::kInput, "{}: chat_template: expected one named default", where);
    for (const auto& [name, text] : tokenizer.named_tokens()) {
      tokens_.emplace_back(name, jinja::Value(text));
      add_framing(tokenizer, text);
    }
  }

  MarkedText render(const ChatRequest& request) const override {
    using jinja::Value;
    std::vector<Value> messages;
    for (const OrderedJson& message : request.messages)
      messages.push_back(Value::from_json(message, origin_of(message)));
    jinja::Variables variables = {{"messages", Value(std::move(messages))},
                                  {"tools", Value::from_json(request.tools, Origin::kUser)},
                                  {"documents", jinja::None{}},
                                  {"add_generation_prompt", false}};
    variables.insert(variables.end(), tokens_.begin(), tokens_.end());
    for (const auto& [name, value] : request.kwargs.items()) {
      const auto it =
          std::find_if(variables.begin(), variables.end(), [&name = name](const auto& v) { return v.first == name; });
      if (it == variables.end())
        variables.emplace_back(name, Value::from_json(value, Origin::kUser));
      else if (name != "messages" && name != "tools")
        it->second = Value::from_json(value, Origin::kUser);
    }
    const auto with_tools = templates_.find("tool_use");
    const bool use_tools = !request.tools.is_null() && with_tools != templates_.end();
    return (use_tools ? with_tools->second : templates_.at("default")).render(variables);
  }

 private:
  std::map<std::string, jinja::Template> templates_;
  jinja::Variables tokens_;
};

class ChatRenderer::CodedFormat : public Format {
 public:
  using Render = MarkedText (*)(const ChatRequest&);
  CodedFormat(const Tokenizer& tokenizer, Render render, ToolFormat tools) : render_(render) {
    add_framing(tokenizer, kCodedFormatTokens);
    set_tools(tools);
  }
  MarkedText render(const ChatRequest& request) const override { return render_(request); }

 private:
  const Render render_;
};

ChatRenderer::ChatRenderer(const Tokenizer& tokenizer, std::shared_ptr<const Format> format)
    : tokenizer_(tokenizer), format_(std::move(format)) {}

ChatRenderer ChatRenderer::of(const Tokenizer& tokenizer, const std::string& model_type, const std::string& where) {
  if (!tokenizer.chat_templates().empty())
    return ChatRenderer(tokenizer, std::make_shared<const JinjaFormat>(tokenizer, where));
  const auto coded = [&](CodedFormat::Render render, ToolFormat tools) {
    return ChatRenderer(tokenizer, std::make_shared<const CodedFormat>(tokenizer, render, tools));
  };
  if (model_type == "deepseek_v32") return coded(render_deepseek_v32, ToolFormat::kDsmlV32);
  if (model_type == "deepseek_v4") return coded(render_deepseek_v4, ToolFormat::kDsmlV4);
  fail(ErrorKind::kInput,
       "{}: chat_template: expected one in tokenizer_config.json, got none: this {} is no chat model", where,
       model_type.empty() ? "model" : model_type);
}

ChatRenderer ChatRenderer::load(const Tokenizer& tokenizer, const Path& model_dir) {
  std::string model_type;
  if (const Path config = model_dir / "config.json"; std::filesystem::exists(config)) {
    const Json json = read_json(config);
    if (json.is_object() && json.contains("model_type") && json["model_type"].is_string())
      model_type = json["model_type"].get<std::string>();
  }
  return of(tokenizer, model_type, model_dir.string());
}

MarkedText ChatRenderer::render(const ChatRequest& request) const { return format_->render(request); }

ToolFormat ChatRenderer::tools() const { return format_->tools(); }

std::vector<int32_t> ChatRenderer::encode(const ChatRequest& request) const {
  return tokenizer_.encode(render(request), format_->framing());
}

}  // namespace tenth
