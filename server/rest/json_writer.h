#pragma once

#include <charconv>
#include <cmath>
#include <concepts>
#include <string>
#include <string_view>
#include <utility>

#include "server/base/json_text.h"

namespace pixpool::rest {

// Writes JSON from the front to the back. Numbers are the shortest texts that read back as the same
// float; what is not finite has no number in JSON and is null.
class JsonWriter {
 public:
  JsonWriter& Begin(char bracket) {
    Comma();
    out_ += bracket;
    return *this;
  }
  JsonWriter& End(char bracket) {
    out_ += bracket;
    return *this;
  }
  JsonWriter& Key(std::string_view name) {
    Comma();
    AppendJsonString(&out_, name);
    out_ += ':';
    return *this;
  }
  JsonWriter& Text(std::string_view value) {
    Comma();
    AppendJsonString(&out_, value);
    return *this;
  }
  template <typename T>
  requires(std::integral<T> || std::floating_point<T>) JsonWriter& Number(T value) {
    Comma();
    if constexpr (std::floating_point<T>) {
      if (!std::isfinite(value)) return Raw("null");
    }
    char text[32];
    const auto end = std::to_chars(text, text + sizeof(text), value);
    return Raw(std::string_view(text, static_cast<size_t>(end.ptr - text)));
  }
  template <typename List>
  JsonWriter& Numbers(const List& values) {
    Begin('[');
    for (const auto value : values) Number(value);
    return End(']');
  }
  // JSON that is written already.
  JsonWriter& Json(std::string_view json) {
    Comma();
    return Raw(json);
  }

  void Reserve(size_t bytes) { out_.reserve(bytes); }
  std::string Take() { return std::move(out_); }

 private:
  JsonWriter& Raw(std::string_view text) {
    out_ += text;
    return *this;
  }
  // Between two values of a list or two members of an object.
  void Comma() {
    if (out_.empty()) return;
    const char last = out_.back();
    if (last != '{' && last != '[' && last != ':') out_ += ',';
  }

  std::string out_;
};

}  // namespace pixpool::rest
