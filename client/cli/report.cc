#include "client/cli/report.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/files.h"
#include "client/cli/table.h"
#include "client/cpp/error.h"
#include "client/cpp/values.h"

namespace pixpool::cli {
namespace {

constexpr size_t kValuesShown = 6;
constexpr size_t kBitsShown = 32;
constexpr int kScoresShown = 20;
constexpr int kBarWidth = 20;
constexpr size_t kPathWidth = 44;
constexpr size_t kTextWidth = 76;  // of sentences
constexpr size_t kBoxWidth = 90;   // the same for most pictures, so that boxes line up

double Milliseconds(const google::protobuf::Duration& d) {
  return static_cast<double>(d.seconds()) * 1e3 + d.nanos() * 1e-6;
}

std::string PadRight(std::string text, size_t width) {
  text.append(width - std::min(width, DisplayWidth(text)), ' ');
  return text;
}

std::string ScoreLines(const v1::HeadResult& head, bool probabilities, const Style& style) {
  const int shown = std::min(head.class_scores_size(), kScoresShown);
  size_t label_width = 0;
  for (int i = 0; i < shown; ++i) {
    label_width = std::max(label_width, DisplayWidth(ClassLabel(head.class_scores(i))));
  }
  std::vector<std::string> lines;
  for (int i = 0; i < shown; ++i) {
    const v1::ClassScore& score = head.class_scores(i);
    const std::string label = PadRight(ClassLabel(score), label_width);
    std::string line = absl::StrFormat("%2d  %s  ", i + 1, i == 0 ? style.Bold(label) : label);
    if (probabilities) {
      absl::StrAppendFormat(&line, "%6.2f %%  %s", score.score() * 100.0,
                            style.Bar(score.score(), kBarWidth));
    } else {
      absl::StrAppendFormat(&line, "%9.4f", score.score());
    }
    lines.push_back(std::move(line));
  }
  if (head.class_scores_size() > shown) {
    lines.push_back(absl::StrCat("... ", head.class_scores_size() - shown, " more"));
  }
  return absl::StrJoin(lines, "\n");
}

std::string ValueLine(const v1::HeadResult& head) {
  const std::vector<float> values = client::DecodeValues(head).value();
  const bool bits = head.encoding() == v1::ENCODING_BINARY;
  const size_t shown = std::min(values.size(), bits ? kBitsShown : kValuesShown);
  std::string line;
  for (size_t i = 0; i < shown; ++i) {
    absl::StrAppend(
        &line, bits ? absl::StrFormat("%2.0f", values[i]) : absl::StrFormat("%9.4f", values[i]));
  }
  if (values.size() > shown) line += "  ...";
  return line;
}

std::string MapLine(const v1::ActivationMap& map, const Style& style) {
  if (!map.has_class_score()) return absl::StrCat("box ", BoxText(map.box()));
  return absl::StrFormat("%s  %.2f %%%sbox %s", style.Bold(ClassLabel(map.class_score())),
                         map.class_score().score() * 100.0, style.Separator(), BoxText(map.box()));
}

// What the values are, and the first of them.
std::string ValueLines(const v1::HeadResult& head, const Style& style) {
  const size_t png_bytes = head.activation_map().png().size();
  const std::string encoding = client::EncodingName(head.encoding());
  std::vector<std::string> facts;
  if (png_bytes > 0) {
    facts.push_back(absl::StrCat("PNG of ", png_bytes, " bytes"));
  } else {
    facts.push_back(
        absl::StrCat(style.Bold(ShapeText({head.shape().begin(), head.shape().end()})), " values"));
  }
  if (encoding != "float32") facts.push_back(encoding);
  if (!head.layer().empty()) facts.push_back(absl::StrCat("layer ", Printable(head.layer())));
  facts.push_back(absl::StrCat("space ", Printable(head.space_id())));
  const std::string text = absl::StrJoin(facts, style.Separator());
  return png_bytes > 0 ? text : absl::StrCat(text, "\n", ValueLine(head));
}

std::string HeadCell(const v1::HeadResult& head, bool probabilities, const Style& style,
                     Notes& shown) {
  std::string text = head.class_scores_size() > 0 ? ScoreLines(head, probabilities, style)
                                                  : ValueLines(head, style);
  if (head.has_activation_map()) {
    text = absl::StrCat(MapLine(head.activation_map(), style), "\n", text);
  }
  if (head.indices_size() > 0) absl::StrAppend(&text, "\nwith ", head.indices_size(), " indices");
  for (const std::string& warning : head.warnings()) {
    if (shown.emplace(head.head_id(), warning).second) {
      absl::StrAppend(&text, "\n", Wrap("note: " + Printable(warning), kTextWidth));
    }
  }
  return text;
}

std::vector<double> StageValues(const v1::StageTimes& t) {
  return {Milliseconds(t.queue()),      Milliseconds(t.decode()),   Milliseconds(t.preprocess()),
          Milliseconds(t.batch_wait()), Milliseconds(t.backbone()), Milliseconds(t.heads()),
          Milliseconds(t.draw())};
}

class ReportWriter final : public Writer {
 public:
  ReportWriter(std::ostream& out, std::vector<v1::Head> heads, Style style, std::string name)
      : out_(out), heads_(std::move(heads)), style_(style), name_(std::move(name)) {}

  absl::Status Add(const ImageOutcome& outcome) override {
    const std::string box = PictureBox(outcome, heads_, style_, shown_);
    errno = 0;
    out_ << box << std::flush;
    if (outcome.status.ok()) {
      stages_.emplace_back(outcome.path, outcome.features.stage_times());
      model_ = outcome.model;
    }
    return CheckStream(out_, name_);
  }

  absl::Status Finish() override {
    errno = 0;
    if (stages_.empty()) return CheckStream(out_, name_);
    out_ << "\n" << StageTable(stages_, style_);
    out_ << "model " << Printable(model_.name()) << ", version " << Printable(model_.version())
         << "\n"
         << std::flush;
    return CheckStream(out_, name_);
  }

 private:
  std::ostream& out_;
  const std::vector<v1::Head> heads_;
  const Style style_;
  const std::string name_;
  std::vector<std::pair<std::string, v1::StageTimes>> stages_;
  v1::ModelReference model_;
  Notes shown_;
};

class LabelWriter final : public Writer {
 public:
  LabelWriter(std::ostream& out, Style style) : out_(out), style_(style), table_(style) {
    table_.AddRow({style.Bold("picture"), style.Bold("label")});
  }

  absl::Status Add(const ImageOutcome& outcome) override {
    table_.AddRule();
    std::string cell = Wrap("failed: " + Printable(client::Describe(outcome.status)), kTextWidth);
    if (outcome.status.ok() && outcome.features.head_results_size() > 0) {
      cell = ScoreLines(outcome.features.head_results(0), true, style_);
    }
    table_.AddRow({ShortPath(outcome.path, kPathWidth), std::move(cell)});
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    errno = 0;
    out_ << table_.Render() << std::flush;
    return CheckStream(out_, "standard output");
  }

 private:
  std::ostream& out_;
  const Style style_;
  Table table_;
};

}  // namespace

std::string ClassLabel(const v1::ClassScore& score) {
  return score.label().empty() ? absl::StrCat("class ", score.class_index())
                               : Printable(score.label());
}

std::string BoxText(const v1::Box& box) {
  if (box.right_px() <= box.left_px() || box.bottom_px() <= box.top_px()) return "none";
  return absl::StrFormat("(%d, %d) to (%d, %d)", box.left_px(), box.top_px(), box.right_px(),
                         box.bottom_px());
}

std::string PictureBox(const ImageOutcome& outcome, const std::vector<v1::Head>& heads,
                       const Style& style, Notes& shown) {
  const v1::Features& f = outcome.features;
  Table table(style);
  table.SetMinimumWidth(kBoxWidth);
  std::string title = style.Bold(ShortPath(outcome.path, kPathWidth));
  if (!outcome.status.ok()) {
    table.AddTitle(std::move(title));
    table.AddRule();
    table.AddRow({"failed", Wrap(Printable(client::Describe(outcome.status)), kTextWidth)});
    return table.Render();
  }
  // Width first, as people say it of pictures; the API says height first.
  absl::StrAppend(&title, "  ", f.width_px(), " x ", f.height_px(), " px", style.Separator(),
                  "network input ", f.input_width_px(), " x ", f.input_height_px());
  table.AddTitle(std::move(title));
  for (const std::string& warning : f.warnings()) {
    if (NamesAnOption(warning)) continue;  // said once for all pictures, elsewhere
    table.AddRule();
    table.AddRow({"note", Wrap(Printable(warning), kTextWidth)});
  }
  const auto add = [&](const auto& results) {
    for (int i = 0; i < results.size(); ++i) {
      const bool logits = static_cast<size_t>(i) < heads.size() &&
                          heads[i].class_scores().score_type() == v1::SCORE_TYPE_LOGITS;
      table.AddRule();
      table.AddRow({Printable(results[i].head_id()), HeadCell(results[i], !logits, style, shown)});
    }
  };
  add(f.head_results());
  for (const v1::RegionFeatures& region : f.regions()) {
    table.AddRule();
    table.AddTitle(absl::StrCat(style.Bold("box"), "  (", region.left_px(), ", ", region.top_px(),
                                ") to (", region.right_px(), ", ", region.bottom_px(), ") px"));
    add(region.head_results());
  }
  return table.Render();
}

std::string StageTable(const std::vector<std::pair<std::string, v1::StageTimes>>& rows,
                       const Style& style) {
  if (rows.empty()) return "";
  Table table(style);
  std::vector<std::string> header = {"milliseconds", "queue", "decode", "preprocess", "batch wait",
                                     "backbone",     "heads", "draw",   "total"};
  for (size_t c = 0; c < header.size(); ++c) {
    if (c > 0) table.AlignRight(c);
    header[c] = style.Bold(header[c]);
  }
  table.AddRow(std::move(header));
  table.AddRule();
  for (const auto& [path, times] : rows) {
    std::vector<std::string> cells = {ShortPath(path, kPathWidth)};
    double total = 0;
    for (const double ms : StageValues(times)) {
      cells.push_back(absl::StrFormat("%.2f", ms));
      total += ms;
    }
    cells.push_back(absl::StrFormat("%.2f", total));
    table.AddRow(std::move(cells));
  }
  return table.Render();
}

std::unique_ptr<Writer> NewReportWriter(std::ostream& out, std::vector<v1::Head> heads, Style style,
                                        std::string name) {
  return std::make_unique<ReportWriter>(out, std::move(heads), style, std::move(name));
}

std::unique_ptr<Writer> NewLabelWriter(std::ostream& out, Style style) {
  return std::make_unique<LabelWriter>(out, style);
}

}  // namespace pixpool::cli
