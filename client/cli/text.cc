#include "client/cli/text.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace pixpool::cli {
namespace {

// Length in bytes of the well-formed UTF-8 character at the front of `text`, 0 if there is none.
size_t CharacterLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates and code points above U+10FFFF.
  if ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) > 0x9F) ||
      (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) > 0x8F)) {
    return 0;
  }
  return length;
}

}  // namespace

std::string Style::Bold(absl::string_view text) const {
  return colour ? absl::StrCat("\x1b[1m", text, "\x1b[0m") : std::string(text);
}

std::string Style::Dim(absl::string_view text) const {
  return colour ? absl::StrCat("\x1b[2m", text, "\x1b[0m") : std::string(text);
}

const char* Style::Separator() const { return utf8 ? " \u00b7 " : ", "; }

std::string Style::Bar(double fraction, int width) const {
  static constexpr const char* kEighths[] = {"",       "\u258f", "\u258e", "\u258d",
                                             "\u258c", "\u258b", "\u258a", "\u2589"};
  if (!(fraction > 0.0)) return "";
  const double cells = std::min(fraction, 1.0) * width;
  std::string bar;
  if (!utf8) return std::string(static_cast<size_t>(std::lround(cells)), '#');
  const int eighths = static_cast<int>(std::lround(cells * 8));
  for (int i = 0; i < eighths / 8; ++i) bar += "\u2588";
  return bar + kEighths[eighths % 8];
}

Style DetectStyle(bool is_terminal, const std::function<std::string(const char*)>& env) {
  std::string locale;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (locale = env(name); !locale.empty()) break;
  }
  locale = absl::AsciiStrToLower(locale);
  Style style;
  style.utf8 =
      is_terminal || absl::StrContains(locale, "utf-8") || absl::StrContains(locale, "utf8");
  style.colour = is_terminal && env("NO_COLOR").empty() && env("TERM") != "dumb";
  return style;
}

std::string Printable(absl::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    const auto lead = static_cast<unsigned char>(text[0]);
    const bool control =
        lead < 0x20 || lead == 0x7F ||
        (lead == 0xC2 && length == 2 && static_cast<unsigned char>(text[1]) < 0xA0);
    if (length == 0 || control) {
      result += '?';
    } else {
      result.append(text.data(), length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return result;
}

std::string ShortPath(absl::string_view path, size_t width) {
  const std::string text = Printable(path);
  constexpr size_t kDots = 3;
  if (DisplayWidth(text) <= width || width <= kDots) return text;
  // The start of the last (width - kDots) characters.
  size_t start = text.size();
  for (size_t kept = 0; kept < width - kDots; ++kept) {
    do --start;
    while ((static_cast<unsigned char>(text[start]) & 0xC0) == 0x80);
  }
  const size_t folder = text.find('/', start);
  return "..." + text.substr(folder == std::string::npos ? start : folder);
}

size_t DisplayWidth(absl::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (i < text.size() && text[i] != 'm') ++i;
    } else if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) {
      ++width;
    }
  }
  return width;
}

std::string Wrap(absl::string_view text, size_t width) {
  std::string result;
  size_t used = 0;  // of the last line
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    const size_t needed = DisplayWidth(word);
    if (!result.empty()) {
      const bool fits = used + 1 + needed <= width;
      result += fits ? ' ' : '\n';
      used = fits ? used + 1 : 0;
    }
    absl::StrAppend(&result, word);
    used += needed;
  }
  return result;
}

std::string ShapeText(const std::vector<int64_t>& shape) { return absl::StrJoin(shape, " x "); }

}  // namespace pixpool::cli
