#include "server/base/option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "server/base/option_members.h"

namespace pixpool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Inner {
  static constexpr OptionSpec kDelay = {
      .group = kLifeGroup,
      .place = 1,
      .flag = "--delay-ms",
      .help = "Delay.",
      .kind = OptionKind::kNumber,
      .initial = 5,
      .min = 0,
      .max = 1000,
  };
  Option<milliseconds, kDelay> delay;
};

struct Outer {
  static constexpr OptionSpec kName = {
      .group = kModelsGroup,
      .place = 1,
      .flag = "--name",
      .help = "Name.",
      .kind = OptionKind::kText,
      .initial = "some",
  };
  Option<std::string, kName> name;

  Inner inner;

  static constexpr OptionSpec kSide = {
      .group = kLimitsGroup,
      .place = 1,
      .flag = "--max-side",
      .help = "Side.",
      .kind = OptionKind::kNumber,
      .initial = 16,
      .min = 1,
      .max = 100,
  };
  Option<int, kSide> side;
};

// Nothing is stored beside the value, and reading it needs no other memory.
static_assert(sizeof(Option<int, Outer::kSide>) == sizeof(int));
static_assert(std::is_trivially_copyable_v<Option<int, Outer::kSide>>);

TEST(OptionTest, StartsWithItsDefaultAndTakesValuesOfItsType) {
  Outer options;
  EXPECT_EQ(options.side, 16);
  EXPECT_EQ(options.name.value(), "some");
  EXPECT_EQ(options.inner.delay.value(), milliseconds(5));
  options = {.name = "other", .inner = {.delay = seconds(1)}, .side = 3};
  EXPECT_EQ(options.side + 1, 4);
  EXPECT_EQ(options.name.value(), "other");
  EXPECT_EQ(options.inner.delay.value(), seconds(1));
}

TEST(OptionTest, AValueThatWasSetKeepsItsFlag) {
  const Outer options = {.inner = {.delay = milliseconds(7)}, .side = 3};
  EXPECT_EQ(options.side.flag(), "--max-side");
  EXPECT_EQ(options.side.spec().name(), "max-side");
  const FlagNumber side = options.side;
  EXPECT_EQ(side.value, 3);
  EXPECT_EQ(side.flag, "--max-side");
  const FlagNumber delay = options.inner.delay;
  EXPECT_EQ(delay.value, 7);
  EXPECT_EQ(delay.flag, "--delay-ms");
}

TEST(OptionTest, EveryMemberIsVisitedInTheOrderOfDeclaration) {
  std::vector<std::string_view> flags;
  const Outer options;
  ForEachOption(options, [&](const auto& option) { flags.push_back(option.flag()); });
  EXPECT_THAT(flags, testing::ElementsAre("--name", "--delay-ms", "--max-side"));
}

TEST(OptionTest, VisitorsMaySetValues) {
  Outer options;
  ForEachOption(options, [](auto& option) {
    using Value = std::remove_cvref_t<decltype(*option.mutable_value())>;
    if constexpr (std::is_same_v<Value, int>) *option.mutable_value() = 9;
  });
  EXPECT_EQ(options.side, 9);
}

// A specification that its member cannot hold does not compile; the same rules as functions.
constexpr OptionSpec Changed(OptionSpec spec, int64_t initial, int64_t min, int64_t max) {
  spec.initial = initial;
  spec.min = min;
  spec.max = max;
  return spec;
}

TEST(OptionTest, DefaultRangeAndTypeMustAgree) {
  using option_internal::Fits;
  EXPECT_TRUE(Fits<int>(Outer::kSide));
  EXPECT_FALSE(Fits<bool>(Outer::kSide));
  EXPECT_FALSE(Fits<std::string>(Outer::kSide));
  EXPECT_FALSE(Fits<int>(Outer::kName));
  EXPECT_TRUE(Fits<int>(Changed(Outer::kSide, 1, 1, 2)));
  EXPECT_FALSE(Fits<int>(Changed(Outer::kSide, 0, 1, 2))) << "the default is below the range";
  EXPECT_FALSE(Fits<int>(Changed(Outer::kSide, 3, 1, 2))) << "the default is above the range";
  EXPECT_FALSE(Fits<int>(Changed(Outer::kSide, 1, 1, int64_t{1} << 40)));
  EXPECT_TRUE(Fits<int64_t>(Changed(Outer::kSide, 1, 1, int64_t{1} << 40)));
  OptionSpec spec = Outer::kSide;
  spec.place = 0;
  EXPECT_FALSE(Fits<int>(spec));
  spec = Outer::kName;
  spec.initial = "";
  EXPECT_FALSE(Fits<std::string>(spec));
  spec.may_be_empty = true;
  EXPECT_TRUE(Fits<std::string>(spec));
  static constexpr std::string_view kChoices[] = {"a", "b"};
  spec.kind = OptionKind::kChoice;
  spec.choices = kChoices;
  EXPECT_FALSE(Fits<std::string>(spec)) << "the default is none of the choices";
  spec.initial = "b";
  EXPECT_TRUE(Fits<std::string>(spec));
}

}  // namespace
}  // namespace pixpool
