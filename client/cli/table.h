// Tables in a box, for terminals and logs.
#pragma once

#include <string>
#include <vector>

#include "client/cli/text.h"

namespace pixpool::cli {

// Collects rows and renders them with aligned columns. Cells may hold several lines and ANSI
// styles; they are to be Printable already. Columns fit their widest cell. Not thread-safe.
class Table {
 public:
  explicit Table(Style style) : style_(style) {}

  // A row that spans all columns.
  void AddTitle(std::string text);
  // A row of cells; missing ones are empty.
  void AddRow(std::vector<std::string> cells);
  // A line between the rows before and after.
  void AddRule();
  // Widens the last column until the table, frame included, takes this many cells.
  void SetMinimumWidth(size_t width) { minimum_width_ = width; }
  // Numbers read best from the right. Columns count from 0.
  void AlignRight(size_t column);

  // The table with its frame, ending in a newline; "" if it has no rows.
  std::string Render() const;

 private:
  enum class Kind { kNone, kTitle, kCells, kRule };
  struct Row {
    Kind kind;
    std::vector<std::string> cells;
  };

  std::vector<size_t> ColumnWidths() const;
  std::string RenderRule(Kind above, Kind below, const std::vector<size_t>& widths) const;
  std::string RenderRow(const Row& row, const std::vector<size_t>& widths) const;

  const Style style_;
  std::vector<Row> rows_;
  std::vector<bool> right_;
  size_t minimum_width_ = 0;
};

}  // namespace pixpool::cli
