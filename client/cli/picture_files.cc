#include "client/cli/picture_files.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "absl/strings/ascii.h"

namespace pixpool::cli {
namespace {

using std::string_view_literals::operator""sv;  // for bytes of 0 in the middle

// scripts/make_picture_suffixes.py makes the Python tools' lists from these three.

// Those of the formats that the server decodes.
constexpr absl::string_view kExtensions[] = {
    ".jpg",  ".jpeg", ".jpe",   ".jfif", ".png",   ".webp", ".gif",   ".bmp", ".tif",
    ".tiff", ".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif"};

// How files of these formats begin; "?" stands for any byte.
constexpr std::string_view kSignatures[] = {"\xff\xd8\xff", "\x89PNG\r\n\x1a\n", "RIFF????WEBP",
                                            "GIF8",         "BM????\0\0\0\0"sv,  "II*\0"sv,
                                            "MM\0*"sv,      "????ftypavi",       "????ftyphei",
                                            "????ftyphev",  "????ftypmif1",      "????ftypmsf1"};

// Previews and copies of network drives and photo programs, what macOS puts into archives, and
// wastebaskets.
constexpr absl::string_view kJunkFolders[] = {
    "@eaDir",       "@Recently-Snapshot", "@Recycle",    "#recycle",   "#snapshot",
    "$RECYCLE.BIN", "__MACOSX",           ".thumbnails", "lost+found", "System Volume Information"};

template <typename Table>
bool Holds(const Table& table, absl::string_view text) {
  return std::find(std::begin(table), std::end(table), text) != std::end(table);
}

}  // namespace

std::span<const absl::string_view> PictureSuffixes() { return kExtensions; }

std::string SuffixOf(absl::string_view name) {
  const size_t dot = name.rfind('.');
  // A dot in front hides a file, and one at the end says nothing.
  if (dot == absl::string_view::npos || dot == 0 || dot + 1 == name.size()) return "";
  return absl::AsciiStrToLower(name.substr(dot));
}

bool IsPictureSuffix(absl::string_view suffix) { return Holds(kExtensions, suffix); }

bool HasPictureSignature(absl::string_view first_bytes) {
  return std::any_of(std::begin(kSignatures), std::end(kSignatures), [&](std::string_view begin) {
    return first_bytes.size() >= begin.size() &&
           std::equal(begin.begin(), begin.end(), first_bytes.begin(),
                      [](char wanted, char is) { return wanted == '?' || wanted == is; });
  });
}

bool IsJunkFolder(absl::string_view name) { return Holds(kJunkFolders, name); }

}  // namespace pixpool::cli
