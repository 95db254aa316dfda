#include "train/report.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "train/svg_chart.h"

namespace tenth {
namespace {

size_t count(std::string_view text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) n++;
  return n;
}

// A well-formedness check for the XML that we write: tags nest, attributes are quoted, text has no bare < or &.
void expect_well_formed(const std::string& xml) {
  std::vector<std::string> open;
  size_t at = 0;
  while (at < xml.size()) {
    const size_t tag = std::min(xml.find('<', at), xml.size());
    const std::string text = xml.substr(at, tag - at);
    ASSERT_EQ(text.find('>'), std::string::npos) << "bare > in text";
    for (size_t amp = text.find('&'); amp != text.npos; amp = text.find('&', amp + 1))
      ASSERT_LT(text.find(';', amp), text.size()) << "bare & in text";
    if (tag == xml.size()) break;
    const size_t end = xml.find('>', tag);
    ASSERT_NE(end, std::string::npos);
    const std::string body = xml.substr(tag + 1, end - tag - 1);
    ASSERT_EQ(count(body, "\"") % 2, 0u) << body;
    ASSERT_EQ(body.find('<'), std::string::npos) << body;
    const std::string name = body.substr(0, body.find_first_of(" /", 1));
    if (body[0] == '/') {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ("/" + open.back(), body);
      open.pop_back();
    } else if (body.back() != '/') {
      open.push_back(name);
    }
    at = end + 1;
  }
  EXPECT_TRUE(open.empty());
}

TEST(SvgChart, NiceTicks) {
  EXPECT_EQ(nice_ticks(0, 1), (std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1}));
  EXPECT_EQ(nice_ticks(0.3, 4.7), (std::vector<double>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(nice_ticks(-7, 12), (std::vector<double>{-10, -5, 0, 5, 10, 15}));
  EXPECT_EQ(nice_ticks(0, 0), nice_ticks(0, 1));
  EXPECT_EQ(nice_ticks(NAN, 1), (std::vector<double>{0, 1}));
  for (const double low : {-1e299, -3.0, 0.0, 1e-300, 5.0, 1e15})
    for (const double span : {0.0, 1e-320, 1e-9, 1.0, 7.3, 1e299}) {
      const std::vector<double> ticks = nice_ticks(low, low + span);
      ASSERT_GE(ticks.size(), 2u) << low << " " << span;
      EXPECT_LE(ticks.size(), 12u) << low << " " << span;
      const double slack = 1e-6 * (std::abs(low) + span);
      EXPECT_LE(ticks.front(), low + slack);
      EXPECT_GE(ticks.back(), low + span - slack);
      EXPECT_TRUE(std::is_sorted(ticks.begin(), ticks.end()));
    }
}

TEST(SvgChart, LineChartIsXmlWithALineASeries) {
  const std::string svg = line_chart_svg({.title = "A <b> & \"c\"\x1b",
                                          .x_label = "x",
                                          .y_label = "y",
                                          .series = {{"one", {0, 1, 2}, {3, 4, 5}}, {"two & more", {0, 2}, {1, 9}}},
                                          .marks = {{1, "<mark>"}}});
  expect_well_formed(svg);
  EXPECT_EQ(count(svg, "<path"), 2u);
  EXPECT_NE(svg.find("A &lt;b&gt; &amp; &quot;c&quot;\\x1b"), std::string::npos);
  EXPECT_NE(svg.find("two &amp; more"), std::string::npos);
  EXPECT_EQ(svg.find("<script"), std::string::npos);
}

TEST(SvgChart, NumbersThatAreNoneLeaveGaps) {
  const std::string svg = line_chart_svg({.title = "t", .series = {{"a", {0, 1, 2, 3, 4}, {1, 2, NAN, 2, INFINITY}}}});
  expect_well_formed(svg);
  const std::string d = svg.substr(svg.find(" d=\""));
  EXPECT_EQ(std::count(d.begin(), d.begin() + long(d.find("/>")), 'M'), 2);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  const std::string none = line_chart_svg({.title = "t", .series = {{"a", {1}, {NAN}}}});
  expect_well_formed(none);
  EXPECT_NE(none.find("no data"), std::string::npos);
  expect_well_formed(line_chart_svg({.title = "", .series = {}}));
  expect_well_formed(line_chart_svg({.title = "", .series = {{"a", {1, 2}, {7}}}}));
  expect_well_formed(line_chart_svg({.title = "", .series = {{"a", {0, 1}, {-1e308, 1e308}}}}));
}

TEST(SvgChart, SizeIsBounded) {
  ChartSeries series{"a", {}, {}};
  for (int i = 0; i < 300'000; i++) series.x.push_back(i), series.y.push_back(i % 7);
  EXPECT_LT(line_chart_svg({.title = "t", .series = {series}, .smooth = true}).size(), 40'000u);
}

TEST(SvgChart, HeatMap) {
  const std::string svg =
      heat_map_svg({.title = "load", .x_label = "expert", .row_names = {"a<", "b"}, .rows = {{1, 0.5, NAN}, {2, -1}}});
  expect_well_formed(svg);
  EXPECT_EQ(count(svg, "<rect class=\"f0\""), 5u);
  EXPECT_NE(svg.find("max 2.00"), std::string::npos);
  expect_well_formed(heat_map_svg({.title = "none", .x_label = "", .row_names = {}, .rows = {}}));
  expect_well_formed(heat_map_svg({.title = "big",
                                   .x_label = "",
                                   .row_names = std::vector<std::string>(500, "r"),
                                   .rows = std::vector<std::vector<double>>(500, std::vector<double>(700, 1))}));
}

TEST(Markdown, EscapesShowTheCharactersThemselves) {
  EXPECT_EQ(escape_markdown("3+5-1=? (a_b) x:y"), "3+5-1=? (a_b) x:y");
  EXPECT_EQ(escape_markdown("<script>&amp;"), "&lt;script&gt;&amp;amp;");
  EXPECT_EQ(escape_markdown("a|b\nc"), "a\\|b c");
  EXPECT_EQ(escape_markdown("*x* _y_ `z` [l](http://h) ~~s~~ \\"),
            "\\*x\\* \\_y\\_ \\`z\\` \\[l\\](http\\://h) \\~\\~s\\~\\~ \\\\");
  EXPECT_EQ(escape_markdown("\x1b[0m\xff"), "\\\\x1b\\[0m\\\\xff");
}

TEST(Markdown, NoTextEndsItsBlock) {
  EXPECT_EQ(markdown_block("a\n```\n# out\n"), "````text\na\n```\n# out\n````\n");
  EXPECT_EQ(markdown_block("plain"), "```text\nplain\n```\n");
  const std::string ticks(50, '`');
  EXPECT_EQ(markdown_block(ticks).substr(0, 51), ticks + "`");
  EXPECT_EQ(markdown_block("abcdef", 4), "```text\nabcd\n… 2 more bytes\n```\n");
}

class Report : public ::testing::Test {
 protected:
  Report() : dir_(std::filesystem::temp_directory_path() / fmt::format("tenth-report-{}", ::getpid())) {
    std::filesystem::remove_all(dir_);
    summary_ = {.recipe = "recipes/demo.toml",
                .task = "chain",
                .machine = "2 cores, amx",
                .dtype = "f32",
                .seed = 1,
                .threads = 2,
                .seconds = 251,
                .parameters = 2'412'345,
                .active_parameters = 812'345,
                .stages = {{"train", 800, 100.5, 1'228'800, 0.21}, {"rl", 50, 80, 400'000}},
                .comparisons = {{{.problems = 500,
                                  .accuracy = 0.092,
                                  .standard_error = 0.013,
                                  .mean_tokens = 10.3,
                                  .thinking_share = 0.23},
                                 Evaluation{.problems = 500,
                                            .accuracy = 0.93,
                                            .standard_error = 0.0114,
                                            .mean_tokens = 31,
                                            .thinking_share = 0.998}}},
                .before = {{"3+5=?", "8", "<think></think><answer>9</answer>", false}},
                .after = {{"3+5=?", "8", "<think>3+5=8</think>\n```\n<img src=x onerror=alert(1)>", true}},
                .expert_loads = {{"train", {1, 2}, {{1.5, 0.5}, {1, 1}}}},
                .settings = {{"rl.lr", "0.0005"}, {"task.name", "\"a|b\""}},
                .written = {{"runs/demo/model", "the model, a Hugging Face folder"}},
                .next_command = "build/tenth chat runs/demo/model"};
  }
  ~Report() override { std::filesystem::remove_all(dir_); }

  Path dir_;
  RunSummary summary_;
};

TEST_F(Report, WritesEveryFileThatItNames) {
  MetricsWriter metrics(dir_);
  for (int step = 0; step < 50; step++) {
    metrics.write("train", step, {{"loss", 4.0 / (step + 1)}, {"max_violation", 0.5}});
    metrics.write("sft", step, {{"loss", 0.4}});
    metrics.write("rl", step,
                  {{"reward", step / 50.0},
                   {"length", 10 + step},
                   {"entropy", NAN},
                   {"logprob_gap", 1e-7},
                   {"logprob_gap_max", 1e-6}});
    if (step % 10 == 0) metrics.write("rl", step, {{"accuracy", step / 50.0}});
  }
  write_report(dir_, summary_, metrics);
  const std::string report = read_file(dir_ / "report.md");
  for (const char* file :
       {"loss", "reward", "accuracy", "length", "entropy", "logprob_gap", "balance", "expert_load"}) {
    EXPECT_NE(report.find(fmt::format("({}.svg)", file)), std::string::npos) << file;
    expect_well_formed(read_file(dir_ / fmt::format("{}.svg", file)));
  }
  EXPECT_EQ(count(report, ".svg)"), 8u);
  EXPECT_NE(report.find("| right answers, T = 0 | 9.2 % ± 1.3 | 93.0 % ± 1.1 |"), std::string::npos) << report;
  EXPECT_NE(report.find("| train | 800 | 1.23M | 100.5 | 12.2k | 21 % |"), std::string::npos) << report;
  EXPECT_NE(report.find("| \"a\\|b\" |"), std::string::npos) << report;
  EXPECT_NE(report.find("````text\n<think>3+5=8</think>\n```\n<img"), std::string::npos) << report;
}

TEST_F(Report, SummaryIsJsonWithTheHeadline) {
  const Json json = parse_json(summary_json(summary_), "summary");
  EXPECT_EQ(json["accuracy_before"], 0.092);
  EXPECT_EQ(json["accuracy_after"], 0.93);
  EXPECT_EQ(json["seed"], 1);
  EXPECT_EQ(json["stages"]["train"]["seconds"], 100.5);
  EXPECT_DOUBLE_EQ(json["stages"]["rl"]["tokens_per_second"], 5000);
  EXPECT_TRUE(json["stages"]["rl"]["peak_share"].is_null());
  EXPECT_EQ(json["evaluations"][0]["after"]["thinking_share"], 0.998);
  summary_.comparisons[0].before.accuracy = NAN;
  summary_.machine = "\xff";
  EXPECT_TRUE(parse_json(summary_json(summary_), "summary")["accuracy_before"].is_null());
}

TEST_F(Report, OnlyWhatThereWasIsShown) {
  MetricsWriter metrics(dir_);
  const RunSummary empty{.recipe = "r.toml", .task = "chain"};
  write_report(dir_, empty, metrics);
  const std::string report = read_file(dir_ / "report.md");
  EXPECT_EQ(report.find("svg"), std::string::npos);
  EXPECT_EQ(report.find("##"), std::string::npos) << report;
  EXPECT_EQ(summary_text(empty), "");
  summary_.comparisons[0].after.reset();
  EXPECT_EQ(report_markdown(summary_, {}).find("after RL |"), std::string::npos);
  EXPECT_FALSE(parse_json(summary_json(summary_), "summary").contains("accuracy_after"));
}

TEST_F(Report, TerminalTextLinesUp) {
  const std::string text = summary_text(summary_);
  EXPECT_EQ(text,
            "  held-out problems             before RL      after RL\n"
            "  right answers, T = 0        9.2 % ± 1.3  93.0 % ± 1.1\n"
            "  answers that think, T = 0        23.0 %        99.8 %\n"
            "  mean length, tokens, T = 0         10.3          31.0\n"
            "  cut at the limit, T = 0           0.0 %         0.0 %\n"
            "\n"
            "  stage  steps  tokens  seconds  tokens/s  of peak\n"
            "  train    800   1.23M    100.5     12.2k     21 %\n"
            "  rl        50    400k     80.0        5k        -\n"
            "\n"
            "  written\n"
            "    runs/demo/model  the model, a Hugging Face folder\n"
            "\n"
            "  next: build/tenth chat runs/demo/model\n");
}

}  // namespace
}  // namespace tenth
