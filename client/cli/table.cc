#include "client/cli/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace pixpool::cli {
namespace {

std::string Pad(absl::string_view text, size_t width, bool right) {
  const std::string fill(width - std::min(width, DisplayWidth(text)), ' ');
  return right ? absl::StrCat(fill, text) : absl::StrCat(text, fill);
}

std::vector<std::string> Lines(const std::string& cell) { return absl::StrSplit(cell, '\n'); }

size_t CellWidth(const std::string& cell) {
  size_t width = 0;
  for (const std::string& line : Lines(cell)) width = std::max(width, DisplayWidth(line));
  return width;
}

// Width between the frame's left and right edge.
size_t InnerWidth(const std::vector<size_t>& widths) {
  size_t inner = widths.size() - 1;  // the lines between the columns
  for (const size_t w : widths) inner += w + 2;
  return inner;
}

}  // namespace

void Table::AddTitle(std::string text) { rows_.push_back({Kind::kTitle, {std::move(text)}}); }
void Table::AddRow(std::vector<std::string> cells) {
  rows_.push_back({Kind::kCells, std::move(cells)});
}
void Table::AddRule() { rows_.push_back({Kind::kRule, {}}); }

void Table::AlignRight(size_t column) {
  if (right_.size() <= column) right_.resize(column + 1, false);
  right_[column] = true;
}

std::vector<size_t> Table::ColumnWidths() const {
  std::vector<size_t> widths(1, 0);
  for (const Row& row : rows_) {
    if (row.kind != Kind::kCells) continue;
    if (widths.size() < row.cells.size()) widths.resize(row.cells.size(), 0);
    for (size_t c = 0; c < row.cells.size(); ++c) {
      widths[c] = std::max(widths[c], CellWidth(row.cells[c]));
    }
  }
  // A title that is wider than all columns widens the last one.
  for (const Row& row : rows_) {
    if (row.kind != Kind::kTitle) continue;
    const size_t wanted = CellWidth(row.cells[0]) + 2;
    const size_t inner = InnerWidth(widths);
    if (wanted > inner) widths.back() += wanted - inner;
  }
  const size_t outer = InnerWidth(widths) + 2;
  if (outer < minimum_width_) widths.back() += minimum_width_ - outer;
  return widths;
}

std::string Table::RenderRule(Kind above, Kind below, const std::vector<size_t>& widths) const {
  const auto pick = [&](const char* utf8, const char* ascii) { return style_.utf8 ? utf8 : ascii; };
  const bool up = above == Kind::kCells;
  const bool down = below == Kind::kCells;
  const char* junction = up && down ? pick("\u253c", "+")
                         : up       ? pick("\u2534", "+")
                         : down     ? pick("\u252c", "+")
                                    : pick("\u2500", "-");
  std::string rule = above == Kind::kNone   ? pick("\u250c", "+")
                     : below == Kind::kNone ? pick("\u2514", "+")
                                            : pick("\u251c", "+");
  for (size_t c = 0; c < widths.size(); ++c) {
    if (c > 0) rule += junction;
    for (size_t i = 0; i < widths[c] + 2; ++i) rule += pick("\u2500", "-");
  }
  rule += above == Kind::kNone   ? pick("\u2510", "+")
          : below == Kind::kNone ? pick("\u2518", "+")
                                 : pick("\u2524", "+");
  return style_.Dim(rule) + "\n";
}

std::string Table::RenderRow(const Row& row, const std::vector<size_t>& widths) const {
  const std::string bar = style_.Dim(style_.utf8 ? "\u2502" : "|");
  std::string text;
  if (row.kind == Kind::kTitle) {
    const size_t width = InnerWidth(widths) - 2;
    for (const std::string& line : Lines(row.cells[0])) {
      absl::StrAppend(&text, bar, " ", Pad(line, width, false), " ", bar, "\n");
    }
    return text;
  }
  std::vector<std::vector<std::string>> cells(widths.size());
  size_t height = 1;
  for (size_t c = 0; c < row.cells.size(); ++c) {
    cells[c] = Lines(row.cells[c]);
    height = std::max(height, cells[c].size());
  }
  for (size_t y = 0; y < height; ++y) {
    for (size_t c = 0; c < widths.size(); ++c) {
      const bool right = c < right_.size() && right_[c];
      absl::StrAppend(&text, bar, " ",
                      Pad(y < cells[c].size() ? cells[c][y] : "", widths[c], right), " ");
    }
    absl::StrAppend(&text, bar, "\n");
  }
  return text;
}

std::string Table::Render() const {
  if (rows_.empty()) return "";
  const std::vector<size_t> widths = ColumnWidths();
  const auto kind = [&](size_t i) { return i < rows_.size() ? rows_[i].kind : Kind::kNone; };
  std::string text = RenderRule(Kind::kNone, kind(0), widths);
  for (size_t i = 0; i < rows_.size(); ++i) {
    text += rows_[i].kind == Kind::kRule ? RenderRule(rows_[i - 1].kind, kind(i + 1), widths)
                                         : RenderRow(rows_[i], widths);
  }
  return text + RenderRule(rows_.back().kind, Kind::kNone, widths);
}

}  // namespace pixpool::cli
