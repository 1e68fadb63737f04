// An option of the server, stated once: where a struct of options declares the member, with its
// default, range, help and flag beside it. server/config reads flags, environment and file into
// these structs and prints --help from them; error messages take the flag's name from here.
//
//   struct ImageLimits {
//     static constexpr OptionSpec kMaxSide = {.group = kLimitsGroup, .place = 6,
//                                             .flag = "--max-image-side", ...};
//     Option<int, kMaxSide> max_side;
//   };
//
// A struct of options holds options and other such structs, and nothing else.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace pixpool {

// A heading of --help; groups come in the order of their places.
struct OptionGroup {
  int place = 0;
  std::string_view title;
};

inline constexpr OptionGroup kAddressesGroup = {1, "Addresses"};
inline constexpr OptionGroup kModelsGroup = {2, "Models and threads"};
inline constexpr OptionGroup kBatchingGroup = {3, "Batching"};
inline constexpr OptionGroup kAdmissionGroup = {4, "Admission"};
inline constexpr OptionGroup kLimitsGroup = {5, "Limits on a request"};
inline constexpr OptionGroup kLifeGroup = {6, "Life cycle and log"};
inline constexpr OptionGroup kConnectionsGroup = {7, "Connections to the gRPC port"};
inline constexpr OptionGroup kAccessGroup = {8, "Who may use the gRPC port"};
inline constexpr OptionGroup kCacheGroup = {9, "Response cache"};

enum class OptionKind {
  kSwitch,    // true or false
  kNumber,    // whole number
  kBytes,     // whole number, or one with KiB, MiB or GiB
  kText,      // any text
  kAddress,   // host:port
  kListen,    // one or several of host:port and unix:/path, with commas between them
  kChoice,    // one of `choices`
  kChoices,   // one or several of `choices`, each once, with commas between them
  kDevice,    // auto, cpu, cuda, cuda:N
  kMetadata,  // the name of a text entry of gRPC metadata
  kSample,    // all, failed, 1/N
};

// A default: a number (of milliseconds, of bytes; 1 and 0 for true and false) or a text.
struct OptionDefault {
  template <std::integral T>
  constexpr OptionDefault(T value) : number(value) {}
  constexpr OptionDefault(const char* value) : text(value) {}

  int64_t number = 0;
  std::string_view text;
};

// All that there is to know about an option.
struct OptionSpec {
  OptionGroup group;
  int place = 0;                // in its group; no two options share one
  std::string_view flag;        // "--max-image-side"
  std::string_view value_name;  // "PIXELS"; empty for switches
  std::string_view help;
  OptionKind kind;
  OptionDefault initial;
  int64_t min = 0;  // of numbers
  int64_t max = 0;
  std::span<const std::string_view> choices = {};
  bool may_be_empty = false;  // of texts

  // The flag without its dashes: the name in a configuration file.
  constexpr std::string_view name() const { return flag.substr(2); }
};

// gRPC counts the bytes of a message in an int.
inline constexpr int64_t kMostMessageBytes = std::numeric_limits<int32_t>::max();

namespace option_internal {

template <typename T>
constexpr bool kIsText = std::is_same_v<T, std::string>;

// Whether a member of type T can hold what `spec` says, its default among it.
template <typename T>
constexpr bool Fits(const OptionSpec& spec) {
  if (!spec.flag.starts_with("--") || spec.place < 1 || spec.help.empty()) return false;
  const int64_t initial = spec.initial.number;
  const bool in_range = spec.min < spec.max && spec.min <= initial && initial <= spec.max;
  switch (spec.kind) {
    case OptionKind::kSwitch:
      return std::is_same_v<T, bool> && spec.value_name.empty();
    case OptionKind::kNumber:
    case OptionKind::kBytes:
      if (std::is_same_v<T, int> && spec.max > std::numeric_limits<int>::max()) return false;
      return !kIsText<T> && !std::is_same_v<T, bool> && in_range;
    case OptionKind::kChoice:
    case OptionKind::kChoices:
      for (const std::string_view choice : spec.choices) {
        if (choice == spec.initial.text) return kIsText<T>;
      }
      return false;
    case OptionKind::kText:
    case OptionKind::kAddress:
    case OptionKind::kListen:
    case OptionKind::kDevice:
    case OptionKind::kMetadata:
    case OptionKind::kSample:
      return kIsText<T> && (spec.may_be_empty || !spec.initial.text.empty());
  }
  return false;
}

}  // namespace option_internal

// The value of an option: a T (bool, int, int64_t, std::chrono::milliseconds or std::string) and
// no more, so that reading it costs what reading a T costs. It starts with the default.
template <typename T, const OptionSpec& kSpec>
class Option {
  static_assert(option_internal::Fits<T>(kSpec), "the option's type, kind and default disagree");

 public:
  constexpr Option() : value_(Initial()) {}
  template <typename U>
  requires(std::convertible_to<U, T>) constexpr Option(U&& value)
      : value_(std::forward<U>(value)) {}

  constexpr operator const T&() const { return value_; }
  constexpr const T& value() const { return value_; }
  constexpr T* mutable_value() { return &value_; }

  static constexpr const OptionSpec& spec() { return kSpec; }
  static constexpr std::string_view flag() { return kSpec.flag; }

 private:
  static constexpr T Initial() {
    if constexpr (option_internal::kIsText<T>) {
      return T(kSpec.initial.text);
    } else {
      return static_cast<T>(kSpec.initial.number);
    }
  }

  T value_;
};

// A number that was set and the flag that sets it, for messages that name both.
struct FlagNumber {
  template <typename T, const OptionSpec& kSpec>
  requires(std::integral<T>) constexpr FlagNumber(const Option<T, kSpec>& option)
      : value(option.value()), flag(option.flag()) {}
  template <const OptionSpec& kSpec>
  constexpr FlagNumber(const Option<std::chrono::milliseconds, kSpec>& option)
      : value(option.value().count()), flag(option.flag()) {}

  int64_t value;
  std::string_view flag;
};

}  // namespace pixpool
