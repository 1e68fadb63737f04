#include "server/config/config_file.h"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "server/base/json_text.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxProblems =
    20;  // of one file: one that is no configuration at all would give thousands

std::string_view Strip(std::string_view text) {
  return ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
}

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(&out, text.substr(0, 80));
  return out;
}

// What stands right of the equals sign, or what is wrong with it.
struct Value {
  std::string text;
  std::optional<std::string> problem;
};

Value Problem(std::string text) { return {"", std::move(text)}; }

// Only a comment may follow a value.
Value Finish(std::string text, std::string_view rest) {
  rest = Strip(rest);
  if (!rest.empty() && rest.front() != '#') {
    return Problem(Concat("unexpected ", Quoted(rest), " after the value"));
  }
  return {std::move(text), std::nullopt};
}

Value ParseBasicString(std::string_view in) {
  std::string text;
  for (size_t i = 1; i < in.size(); ++i) {
    if (in[i] == '"') return Finish(std::move(text), in.substr(i + 1));
    if (in[i] != '\\') {
      text += in[i];
      continue;
    }
    const char escape = ++i < in.size() ? in[i] : '\0';
    switch (escape) {
      case '"':
      case '\\':
        text += escape;
        break;
      case 'n':
        text += '\n';
        break;
      case 't':
        text += '\t';
        break;
      default:
        return Problem("only \\\" \\\\ \\n \\t may follow a backslash; 'single quotes' need none");
    }
  }
  return Problem("the string is not closed");
}

Value ParseValue(std::string_view in) {
  if (in.empty()) return Problem("the value is missing");
  if (in.front() == '"') return ParseBasicString(in);
  if (in.front() == '\'') {
    const size_t end = in.find('\'', 1);
    if (end == in.npos) return Problem("the string is not closed");
    return Finish(std::string(in.substr(1, end - 1)), in.substr(end + 1));
  }
  const std::string_view word = Strip(in.substr(0, in.find('#')));
  if (word.empty()) return Problem("the value is missing");
  const bool number = word.find_first_not_of("0123456789-+_.eExXabcdefABCDEF") == word.npos;
  if (word != "true" && word != "false" && !number) {
    return Problem(Concat(Quoted(word), " needs quotes"));
  }
  return {std::string(word), std::nullopt};
}

}  // namespace

std::vector<RawValue> ParseConfigText(std::string_view text, const std::string& path,
                                      std::vector<std::string>* problems) {
  std::vector<RawValue> values;
  if (text.find('\0') != text.npos) {
    problems->push_back(Concat(path, ": has NUL bytes, so it is not a configuration file"));
    return values;
  }
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  size_t found = 0;
  int number = 0;
  for (const absl::string_view raw_line : absl::StrSplit(ToAbsl(text), '\n')) {
    const std::string place = absl::StrCat(path, ":", ++number);
    const auto complain = [&](std::string_view what) {
      if (++found <= kMaxProblems) problems->push_back(Concat(place, ": ", what));
    };
    const std::string_view line = Strip(ToStd(raw_line));
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '[') {
      complain("there are no sections; write name = value");
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == line.npos) {
      complain(Concat(Quoted(line), " is not name = value"));
      continue;
    }
    const std::string_view name = Strip(line.substr(0, equals));
    Value value = ParseValue(Strip(line.substr(equals + 1)));
    if (name.empty()) {
      complain("the name is missing");
    } else if (value.problem) {
      complain(Concat(Quoted(name), ": ", *value.problem));
    } else {
      values.push_back({std::string(name), std::move(value.text), place});
    }
  }
  if (found > kMaxProblems) {
    problems->push_back(absl::StrCat(path, ": ", found - kMaxProblems, " more problems"));
  }
  return values;
}

std::vector<RawValue> ReadConfigFile(const std::string& path, std::vector<std::string>* problems) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"),
                                                             &std::fclose);
  std::string text;
  bool bad = file == nullptr;
  if (!bad) {
    text.resize(kMaxFileBytes + 1);
    errno = 0;
    text.resize(std::fread(text.data(), 1, text.size(), file.get()));
    bad = std::ferror(file.get()) != 0;
  }
  if (bad) {
    problems->push_back(Concat("--config: cannot read ", Quoted(path), ": ",
                               std::generic_category().message(errno)));
    return {};
  }
  if (text.size() > kMaxFileBytes) {
    problems->push_back(Concat("--config: ", Quoted(path), " is larger than 1 MiB"));
    return {};
  }
  return ParseConfigText(text, path, problems);
}

}  // namespace pixpool
