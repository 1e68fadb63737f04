// The text chunks of a PNG as Pillow reads them. Of several with one name the last counts, so only
// a few of each are kept, and what is compressed is unpacked when it is known to count.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "server/image/bytes.h"
#include "server/image/metadata.h"

namespace pixpool {
namespace {

constexpr size_t kMagicSize = 8;
constexpr size_t kChunkOverhead = 12;  // length, type, checksum
constexpr size_t kMaxText = 1 << 20;   // unpacked; Pillow refuses the picture beyond
constexpr size_t kStep = 16 << 10;     // bytes that are unpacked at a time

// The text up to a zero byte, which is taken off `rest` with it; nullopt where there is none.
std::optional<std::string_view> TakeUntilZero(std::string_view* rest) {
  const size_t end = rest->find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view text = rest->substr(0, end);
  rest->remove_prefix(end + 1);
  return text;
}

// What a zlib stream holds, as far as it goes if it is cut off; nullopt if it is damaged or holds
// more than kMaxText.
std::optional<std::string> Unpack(std::string_view packed) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return std::nullopt;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string text;
  int code = Z_OK;
  while (code == Z_OK && text.size() <= kMaxText) {
    const size_t before = text.size();
    text.resize(before + kStep);
    stream.next_out = reinterpret_cast<Bytef*>(text.data() + before);
    stream.avail_out = kStep;
    code = inflate(&stream, Z_NO_FLUSH);
    text.resize(text.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  const bool ended = code == Z_STREAM_END || code == Z_BUF_ERROR;
  if (!ended || text.size() > kMaxText) return std::nullopt;
  return text;
}

// Whether Python's strict decoder takes it.
bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i++]);
    if (lead < 0x80) continue;
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4) return false;
    uint32_t code = lead & (0x3fu >> more);
    for (int k = 0; k < more; ++k, ++i) {
      if (i == text.size() || (static_cast<uint8_t>(text[i]) & 0xc0) != 0x80) return false;
      code = code << 6 | (static_cast<uint8_t>(text[i]) & 0x3f);
    }
    const bool overlong = (more == 2 && code < 0x800) || (more == 3 && code < 0x10000);
    if (overlong || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return false;
  }
  return true;
}

bool IsName(std::string_view type) {
  return std::all_of(type.begin(), type.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The bytes of a raw profile: two lines of heading, then pairs of hexadecimal digits. nullopt where
// they are anything else.
std::optional<std::string> ReadProfile(std::string_view text) {
  for (int line = 0; line < 3; ++line) {
    const size_t end = text.find('\n');
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  std::string bytes;
  int high = -1;
  for (const char c : text) {
    if (c == '\n') continue;  // the only space that may part the digits of a pair
    if (high < 0 && IsSpace(c)) continue;
    const int digit = DigitValue(c);
    if (digit < 0) return std::nullopt;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<char>(high << 4 | digit));
      high = -1;
    }
  }
  if (high >= 0) return std::nullopt;
  return bytes;
}

// What the chunks say under one name: the last text, and where that may turn out not to be one, the
// one before it.
class Text {
 public:
  enum class Form { kPlain, kPacked, kInternational };

  void Add(Form form, std::string_view body) {
    kept_[1] = kept_[0];
    kept_[0] = {form, body, true};
  }
  // nullopt where there is none. `bytes`: what Pillow keeps of an international text beside its
  // characters, valid or not.
  std::optional<std::string> Read(bool bytes) const {
    for (const Kept& kept : kept_) {
      if (!kept.there) continue;
      if (auto text = Decode(kept, bytes)) return text;
    }
    return std::nullopt;
  }
  bool there() const { return kept_[0].there; }

 private:
  struct Kept {
    Form form = Form::kPlain;
    std::string_view body;
    bool there = false;
  };

  static std::optional<std::string> Decode(const Kept& kept, bool bytes) {
    std::string_view rest = kept.body;
    if (bytes && kept.form != Form::kInternational) return std::nullopt;
    if (kept.form == Form::kPlain) return std::string(rest);
    if (kept.form == Form::kPacked) {
      if (rest.empty()) return "";
      rest.remove_prefix(1);  // the method, of which there is one
      return Unpack(rest).value_or("");
    }
    if (rest.size() < 2) return std::nullopt;
    const bool packed = rest[0] != 0;
    if (packed && rest[1] != 0) return std::nullopt;
    rest.remove_prefix(2);
    const auto language = TakeUntilZero(&rest);
    const auto keyword = language ? TakeUntilZero(&rest) : std::nullopt;
    if (!keyword) return std::nullopt;
    std::optional<std::string> text = packed ? Unpack(rest) : std::string(rest);
    const bool valid = text && (bytes || (IsUtf8(*language) && IsUtf8(*keyword) && IsUtf8(*text)));
    return valid ? text : std::nullopt;
  }

  std::array<Kept, 2> kept_;
};

// Walks the chunks once; the bytes must outlive it.
class Walk {
 public:
  explicit Walk(std::string_view file) : file_(file) {}

  int Orientation() {
    size_t at = kMagicSize;
    while (at <= file_.size() && file_.size() - at >= kChunkOverhead) {
      const size_t length = ReadBig32(file_, at);
      const std::string_view type = file_.substr(at + 4, 4);
      if (length > file_.size() - at - kChunkOverhead || !IsName(type)) break;
      if (!Take(type, file_.substr(at + 8, length))) break;
      at += kChunkOverhead + length;
    }
    return Decide();
  }

 private:
  // Takes note of a chunk; false where the picture ends.
  bool Take(std::string_view type, std::string_view body) {
    if (type == "IEND") return false;
    // Of an animation, what follows the first frame is not read.
    if (type == "fcTL" && pixels_ && frames_ + (frame_first_ ? 0 : 1) > 1) return false;
    if (type == "IDAT") pixels_ = true;
    if (type == "fcTL" && !pixels_) frame_first_ = true;
    if (type == "acTL" && !pixels_ && body.size() >= 8) TakeFrames(ReadBig32(body, 0));
    if (type == "eXIf") {
      exif_ = body;
      // Pillow puts one prefix before the chunk, and takes two away.
      unreadable_ = body.substr(0, 12) == std::string_view("Exif\0\0Exif\0\0", 12);
    }
    if (type == "tEXt") TakeText(Text::Form::kPlain, body);
    if (type == "zTXt") TakeText(Text::Form::kPacked, body);
    if (type == "iTXt") TakeText(Text::Form::kInternational, body);
    return true;
  }

  void TakeFrames(uint32_t count) {
    const bool valid = frames_ == 0 && count != 0 && count <= 0x80000000;
    frames_ = valid ? count : 0;
  }

  void TakeText(Text::Form form, std::string_view body) {
    const auto name = TakeUntilZero(&body);
    if (!name) return;
    if (*name == "Raw profile type exif") profile_.Add(form, body);
    if (*name == "XML:com.adobe.xmp") xmp_.Add(form, body);
    if (*name == "exif") {
      exif_ = body;
      unreadable_ = form != Text::Form::kPlain;
    }
  }

  int Decide() const {
    std::string_view exif;
    std::optional<std::string> profile;
    if (exif_) {
      if (unreadable_) return 1;
      exif = *exif_;
    } else if (auto text = profile_.Read(/*bytes=*/false)) {
      profile = ReadProfile(*text);
      if (!profile) return 1;
      exif = *profile;
    }
    const int stated = ReadOrientation(exif, "");
    if (stated != 1 || !xmp_.there()) return stated;
    auto xmp = xmp_.Read(/*bytes=*/false);
    if (!xmp || xmp->empty()) xmp = xmp_.Read(/*bytes=*/true);
    return ReadOrientation(exif, xmp ? *xmp : "");
  }

  const std::string_view file_;
  bool pixels_ = false;
  bool frame_first_ = false;  // the first picture is one of the animation's
  uint64_t frames_ = 0;
  std::optional<std::string_view> exif_;
  bool unreadable_ = false;  // the EXIF data; Pillow fails at it
  Text profile_;
  Text xmp_;
};

}  // namespace

int ReadPngOrientation(std::string_view file) { return Walk(file).Orientation(); }

}  // namespace pixpool
