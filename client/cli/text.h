// Text for people: what a terminal can show, widths, numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace pixpool::cli {

// How output looks.
struct Style {
  bool utf8 = false;    // box lines and bars; else ASCII
  bool colour = false;  // bold and dim by ANSI sequences

  std::string Bold(absl::string_view text) const;
  std::string Dim(absl::string_view text) const;
  // "middle dot" or ASCII's stand-in, between two facts.
  const char* Separator() const;
  // A bar of `fraction` (0 to 1) of `width` cells.
  std::string Bar(double fraction, int width) const;
};

// UTF-8 on a terminal or under a UTF-8 locale, colour on a terminal unless NO_COLOR is set or TERM
// is "dumb". `env` gives an environment variable or "".
Style DetectStyle(bool is_terminal, const std::function<std::string(const char*)>& env);

// `text` with everything that could steer a terminal or break a table (control characters, bytes
// that are not UTF-8) replaced by "?". For paths, and for all text of a server.
std::string Printable(absl::string_view text);

// A path, Printable, of at most `width` cells: of a longer one the end, with "..." for what is cut,
// from a folder's name on where that leaves anything.
std::string ShortPath(absl::string_view path, size_t width);

// Number of cells that a text takes; ANSI sequences take none.
size_t DisplayWidth(absl::string_view text);

// `text` with line breaks in place of spaces where a line would take more than `width` cells; a
// word that is longer stands alone.
std::string Wrap(absl::string_view text, size_t width);

// "1280", or "1280 x 7 x 7".
std::string ShapeText(const std::vector<int64_t>& shape);

}  // namespace pixpool::cli
