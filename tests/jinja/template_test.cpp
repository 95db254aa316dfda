// Expected texts are those of jinja2 3.1.6 in the environment that transformers 5.23 makes for chat templates.
#include "jinja/template.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/ordered_json.h"

namespace tenth::jinja {
namespace {

std::string render(const std::string& source, const std::string& variables = "{}", const Limits& limits = {}) {
  Variables values;
  const OrderedJson json = parse_ordered_json(variables, "variables");
  for (const auto& [name, value] : json.items()) values.emplace_back(name, Value::from_json(value, Origin::kUser));
  return Template(source, "t").render(values, limits).text();
}

std::string error_of(const std::string& source, const std::string& variables = "{}", const Limits& limits = {}) {
  try {
    return "no error: " + render(source, variables, limits);
  } catch (const Error& e) {
    return std::string(e.kind() == ErrorKind::kUnsupported ? "unsupported: " : "") + e.what();
  }
}

TEST(Template, TextAndSpaceAroundTags) {
  EXPECT_EQ(render("a\n"), "a");
  EXPECT_EQ(render("a\n\n"), "a\n");
  EXPECT_EQ(render("a\r\nb\rc"), "a\nb\nc");
  EXPECT_EQ(render("  {% if true %}\n  x\n  {% endif %}\ny"), "  x\ny");
  EXPECT_EQ(render("  {%+ if true %}x{% endif +%}\ny"), "  x\ny");
  EXPECT_EQ(render("a {{- ' b ' -}} \n c"), "a b c");
  EXPECT_EQ(render("a\n  {# note #}\nb"), "a\nb");
  EXPECT_EQ(render("{{ 1 }}\n{{ 2 }}\n"), "1\n2");
  EXPECT_EQ(render("{% raw %}{{ x }}{% endraw %}|"), "{{ x }}|");
  EXPECT_EQ(render("{{ {'a': {'b': 1}}['a']['b'] }}"), "1");
}

// Items that are made for the loop: of a text its characters, of a dict its keys.
TEST(Template, FiltersOverWhatIsNoList) {
  EXPECT_EQ(render("{{ 'abc' | join('-') }}{{ {'a': 1, 'b': 2} | join }}"), "a-b-cab");
  EXPECT_EQ(render("{{ '-'.join('abc') }}{{ {'b': 1, 'a': 2} | sort | join }}"), "a-b-cab");
  EXPECT_EQ(render("{{ 'abc' | map('upper') | list }}{{ 'abca' | unique | join }}"), "['A', 'B', 'C']abc");
  EXPECT_EQ(render("{{ 'a1b2' | select('in', 'ab') | join }}{{ {'k': 1} | map('length') | first }}"), "ab1");
}

TEST(Template, Statements) {
  EXPECT_EQ(render("{% for x in [1,2,3] %}{{ loop.index }}/{{ loop.length }}{{ ', ' if not loop.last }}{% endfor %}"),
            "1/3, 2/3, 3/3");
  EXPECT_EQ(render("{% for x in [] %}a{% else %}none{% endfor %}"), "none");
  EXPECT_EQ(render("{% for x in range(9) if x is odd %}{{ x }}{% if x > 4 %}{% break %}{% endif %}{% endfor %}"),
            "135");
  EXPECT_EQ(render("{% for x in range(5) %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}"), "0134");
  EXPECT_EQ(render("{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", R"({"d": {"b": 1, "a": [2]}})"),
            "b=1;a=[2];");
  EXPECT_EQ(render("{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + 1 %}{% endfor %}{{ x }}"), "1");
  EXPECT_EQ(render("{% set n = namespace(x=1) %}{% for i in [1, 2] %}{% set n.x = n.x + 1 %}{% endfor %}{{ n.x }}"),
            "3");
  EXPECT_EQ(render("{% if a %}1{% elif b %}2{% else %}3{% endif %}", R"({"b": [0]})"), "2");
  EXPECT_EQ(render("{% macro m(a, b=2) %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }}{{ m(b=3, a='x') }}"), "[12][x3]");
  EXPECT_EQ(render("{% macro m() %}<{{ caller(1) }}>{% endmacro %}{% call(x) m() %}in{{ x }}{% endcall %}"), "<in1>");
  EXPECT_EQ(render("{% set x %}a{{ 1 }}{% endset %}{{ x|upper }}{% filter upper %}b{% endfilter %}"), "A1B");
  EXPECT_EQ(render("{% set a, b = 1, 'x' %}{{ a }}{{ b }}{% with c = 3 %}{{ c }}{% endwith %}{{ c is defined }}"),
            "1x3False");
  EXPECT_EQ(render("{% generation %}a{% endgeneration %}"), "a");
}

TEST(Template, Expressions) {
  EXPECT_EQ(render("{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 3 }} {{ 1 / 2 }} {{ 1e-07 }} {{ 10.0 ** 16 }}"),
            "3 -4 2 8 0.5 1e-07 1e+16");
  EXPECT_EQ(render("{{ 'a' ~ 1 ~ none ~ true }} {{ 'ab' * 2 }} {{ [1] + [2] }}"), "a1NoneTrue abab [1, 2]");
  EXPECT_EQ(render("{{ 1 < 2 < 3 }} {{ 2 in [1, 2] }} {{ 'x' not in 'abc' }} {{ not 1 == 2 }}"), "True True True True");
  EXPECT_EQ(render("{{ x[1:3] }} {{ x[::-1] }} {{ x[-1] }} {{ x[9] is defined }}", R"({"x": "héllo"})"),
            "él olléh o False");
  EXPECT_EQ(render("{{ (1, 'a\\n', \"it's\", {'k': none}) }}"), "(1, 'a\\n', \"it's\", {'k': None})");
  EXPECT_EQ(render("{{ 'a' if x }}{{ 'b' if x is defined and x else 'c' }}"), "c");
  EXPECT_EQ(render("{{ a.items is defined }}{{ a['items'] }}{{ a.k }}", R"({"a": {"items": 5, "k": 6}})"), "True56");
  EXPECT_EQ(render("{{ 'a' 'b' \"\\u00e9\\x41\\n\" }}"), "abéA\n");
  EXPECT_EQ(render("{{ -2|abs }} {{ 1 is divisibleby 1 }} {{ [[2, 1]|sort, 'b'] }}"), "2 True [[1, 2], 'b']");
}

TEST(Template, FiltersMethodsTests) {
  const std::string data = R"({"m": [{"role": "user", "content": " hi "}, {"role": "tool", "content": "x", "n": 2}]})";
  EXPECT_EQ(render("{{ m | selectattr('role', 'equalto', 'user') | map(attribute='content') | list }}", data),
            "[' hi ']");
  EXPECT_EQ(
      render("{{ m | rejectattr('n') | list | length }}{{ m | map(attribute='n', default=0) | join('-') }}", data),
      "10-2");
  EXPECT_EQ(render("{{ m[0] | tojson }}{{ m[1]|tojson(indent=1) }}", data),
            "{\"role\": \"user\", \"content\": \" hi \"}{\n \"role\": \"tool\",\n \"content\": \"x\",\n \"n\": 2\n}");
  EXPECT_EQ(render("{{ 'é<&\"\\u2028' | tojson }}{{ 'é' | tojson(ensure_ascii=true) }}"),
            "\"é<&\\\"\u2028\"\"\\u00e9\"");
  EXPECT_EQ(render("{{ ' a b ' | trim }}|{{ 'xaxx'.strip('x') }}|{{ 'a,b,c'.split(',', 1) }}|{{ 'a b'.split() }}"),
            "a b|a|['a', 'b,c']|['a', 'b']");
  EXPECT_EQ(render("{{ 'a</think>b'.split('</think>')[-1] }}{{ 'ab'.startswith('a') }}{{ 'ab'.endswith(('x', 'b')) }}"),
            "bTrueTrue");
  EXPECT_EQ(render("{{ 'a\nb' | indent(2) }}|{{ 'hello world'|title }}|{{ 'aXa'|replace('a', 'b') }}"),
            "a\n  b|Hello World|bXb");
  EXPECT_EQ(render("{{ x|default('d') }}{{ ''|default('e', true) }}{{ '3'|int + 1 }}{{ 'q'|int(5) }}{{ 2.5|round }}"),
            "de452.0");
  EXPECT_EQ(render("{{ 1 is number }}{{ 's' is mapping }}{{ {} is mapping }}{{ [] is iterable }}{{ none is none }}"),
            "TrueFalseTrueTrueTrue");
  EXPECT_EQ(render("{{ {'a': 1}.get('b', 2) }}{{ {'b': 1, 'a': 2} | dictsort }}"), "2[('a', 2), ('b', 1)]");
}

TEST(Template, ErrorsNameTheLine) {
  EXPECT_EQ(error_of("a\n{{ x.y.z }}"), "t: line 2: x is undefined");
  EXPECT_EQ(error_of("\n\n{{ raise_exception('no ' ~ 'tools') }}"), "t: line 3: the template refuses: no tools");
  EXPECT_EQ(error_of("{{ 'a' + 1 }}"), "t: line 1: there is no str + int");
  EXPECT_EQ(error_of("{{ '</think>' in none }}"), "t: line 1: expected a container right of in, got None");
  EXPECT_EQ(error_of("{% if x %}\n"), "t: line 1: expected {% endif %}, got the end of the template");
  EXPECT_EQ(error_of("\n{{ 'a }}"), "t: line 2: expected the end of a string, got the end of the template");
  EXPECT_EQ(error_of("{{ a b }}"), "t: line 1: expected \"}}\", got \"b\"");
  EXPECT_EQ(error_of("{% include 'x' %}"), "unsupported: t: line 1: the tag include is not supported");
  EXPECT_EQ(error_of("{{ x|nothing }}"), "unsupported: t: line 1: the filter nothing is not supported");
  EXPECT_EQ(error_of("{{ [].append(1) }}"), "unsupported: t: line 1: the method append is not supported");
  EXPECT_EQ(error_of("{{ ''.__class__.x }}"), "t: line 1: the value.__class__ is undefined");
  EXPECT_EQ(error_of("{{ 9223372036854775807 + 1 }}"), "t: line 1: expected a whole number of 64 bits as the result");
  EXPECT_NE(error_of("a\xff").find("expected UTF-8"), std::string::npos);
}

TEST(Template, NothingGoesOnForever) {
  const auto ends = [](const std::string& source, const Limits& limits = {}) {
    const std::string error = error_of(source, "{}", limits);
    EXPECT_TRUE(error.starts_with("t: line 1: ") && error.find('\n') == error.npos) << error.substr(0, 200);
  };
  const std::string loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
  ends(loops);
  ends(loops, {.steps = int64_t(1) << 60, .milliseconds = 20});
  ends("{{ 'a' * 999999999 }}");
  ends("{% set n = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}");
  ends("{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}");
  ends("{% set n = namespace(x=[1]) %}{% for i in range(999) %}{% set n.x = [n.x] %}{% endfor %}");
  ends("{% set n = namespace() %}{% set n.n = n %}");
  ends("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
  ends("{{ range(999999) }}");
  ends("{% for i in range(99999) %}" + std::string(1000, 'a') + "{% endfor %}");
  ends("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}");
  ends("{{ " + std::string(5000, '-') + "1 }}");
  ends("{{ 1" + [] {
    std::string plus;
    for (int i = 0; i < 5000; i++) plus += "+1";
    return plus;
  }() + " }}");
  std::string nested;
  for (int i = 0; i < 5000; i++) nested += "{% if 1 %}";
  ends(nested);
}

TEST(Template, EveryPartKeepsItsOrigin) {
  const Variables variables = {{"u", MarkedText(" <|x|> ", Origin::kUser)}, {"m", MarkedText("a-b", Origin::kModel)}};
  auto marks = [&](const std::string& source) {
    const MarkedText text = Template(source, "t").render(variables);
    std::string shown;
    size_t begin = 0;
    for (const auto& run : text.runs()) {
      shown += "FMU"[int(run.origin)] + fmt::format("({})", text.text().substr(begin, run.end - begin));
      begin = run.end;
    }
    EXPECT_EQ(begin, text.size());
    return shown;
  };
  EXPECT_EQ(marks("<|s|>{{ u }}{{ '<|e|>' + m }}"), "F(<|s|>)U( <|x|> )F(<|e|>)M(a-b)");
  EXPECT_EQ(marks("{{ u|trim }}{{ u[2:4] }}{{ m.split('-')[1] }}{{ (u ~ m)|upper }}"),
            "U(<|x|>|x)M(b)U( <|X|> )M(A-B)");
  EXPECT_EQ(marks("{{ m|replace('-', u) }}{{ [u, m]|join(', ') }}"), "M(a)U( <|x|> )M(b)U( <|x|> )F(, )M(a-b)");
  EXPECT_EQ(marks("{{ {'a': m, 'b': u}|tojson }}"), "U({\"a\": \"a-b\", \"b\": \" <|x|> \"})");
  EXPECT_EQ(marks("{% set x %}({{ u }}){% endset %}{{ x }}{{ u|reverse }}"), "F(()U( <|x|> )F())U( >|x|< )");
  EXPECT_EQ(marks("{% macro f(a) %}{{ a }}{% endmacro %}{{ f(u)[1:] }}{{ u|list|last }}.{{ '{}'.format(m) }}"),
            "U(<|x|>  )F(.)M(a-b)");
}

}  // namespace
}  // namespace tenth::jinja
