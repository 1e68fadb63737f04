#include "server/heads/heads.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "server/base/text.h"
#include "server/heads/pool_tensor.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

// Walks every row of the table, so that a new head cannot forget a column.
class HeadTableTest : public testing::TestWithParam<const HeadType*> {
 protected:
  static ParamMap RequiredParams() {
    ParamMap params = pixpool::RequiredParams(*GetParam());
    if (GetParam()->name == "max_unpool") params["output_size"] = std::vector<int64_t>{6, 5};
    return params;
  }
  // The maps' heads on a model with a classifier of maps; the others on one that they fit.
  static HeadScope Scope() {
    const HeadReads reads = GetParam()->reads;
    const bool maps = reads == HeadReads::kMap || reads == HeadReads::kClassifier;
    return maps ? TestScope() : TokenScope();
  }
  static HeadSpec Head(ParamMap params = RequiredParams()) {
    return MakeHead(std::string(GetParam()->name), std::move(params), false, "", Scope());
  }
};

TEST_P(HeadTableTest, RowIsComplete) {
  const HeadType& type = *GetParam();
  EXPECT_FALSE(type.name.empty());
  EXPECT_EQ(type.description.back(), '.');
  EXPECT_NE(type.value_count, nullptr);
  EXPECT_NE(type.compute, nullptr);
  EXPECT_EQ(FindHeadType(type.name), &type);
  std::set<std::string_view> names;
  for (const ParamSpec& p : type.params) {
    EXPECT_TRUE(names.insert(p.name).second) << p.name;
    EXPECT_FALSE(p.RangeText().empty()) << p.name;
    EXPECT_TRUE(!p.required || p.default_value.empty()) << p.name;
  }
}

TEST_P(HeadTableTest, DefaultsAreFilledInAndValid) {
  const HeadSpec head = Head();
  for (const ParamSpec& p : GetParam()->params) {
    EXPECT_TRUE(p.default_value.empty() || head.Has(p.name)) << p.name;
  }
  // Given in full, the defaults mean the same.
  EXPECT_EQ(Head(head.params).canonical, head.canonical);
}

TEST_P(HeadTableTest, RequiredAndUnknownParametersAreReported) {
  for (const ParamSpec& p : GetParam()->params) {
    if (!p.required) continue;
    ParamMap params = RequiredParams();
    params.erase(std::string(p.name));
    const auto head = ValidateHead({"", std::string(GetParam()->name), "", params}, Scope());
    EXPECT_EQ(DetailsOf(head.status()).field,
              std::string(GetParam()->name) + "." + std::string(p.name));
  }
  ParamMap params = RequiredParams();
  params["bogus"] = true;
  const auto head = ValidateHead({"", std::string(GetParam()->name), "", params}, Scope());
  EXPECT_EQ(DetailsOf(head.status()).field, std::string(GetParam()->name) + ".bogus");
}

TEST_P(HeadTableTest, WrongTypesAreReported) {
  for (const ParamSpec& p : GetParam()->params) {
    ParamMap params = RequiredParams();
    const bool is_bool = p.type == pixpool::ParamType::kBool;
    params[std::string(p.name)] = is_bool ? ParamValue(int64_t{1}) : ParamValue(true);
    const auto head = ValidateHead({"", std::string(GetParam()->name), "", params}, Scope());
    ASSERT_FALSE(head.ok()) << p.name;
    EXPECT_EQ(DetailsOf(head.status()).reason, ErrorReason::kHeadInvalid);
  }
}

// Every parameter that claims to decide the vector space shows in the canonical text, and no other.
TEST_P(HeadTableTest, CanonicalTextNamesExactlyTheSpaceParameters) {
  const std::string canonical = Head().canonical;
  for (const ParamSpec& p : GetParam()->params) {
    const bool shown = canonical.find(Concat(";", p.name, "=")) != canonical.npos;
    EXPECT_EQ(shown, p.in_space) << p.name << " in " << canonical;
  }
}

TEST_P(HeadTableTest, ValueCountIsWhatComesOut) {
  const HeadSpec head = Head();
  const HeadReads reads = GetParam()->reads;
  if (reads == HeadReads::kTokens || reads == HeadReads::kVector) {
    GTEST_SKIP() << "a map is not enough: token_heads_test";
  }
  const int64_t count = GetParam()->value_count(head, 10, 6, 5);
  if (head.output() == HeadOutputKind::kScores) {
    EXPECT_EQ(count, 5);  // top_k of 7 classes
    return;
  }
  if (head.output() == HeadOutputKind::kActivationMap) {
    EXPECT_EQ(count, 6 * 5);
    return;
  }
  const std::vector<float> map(10 * 6 * 5, 1.5f);
  const auto output = ApplyHead(head, map, 10, 6, 5);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(static_cast<int64_t>(output->values.size() + output->indices.size()), count);
  int64_t product = 1;
  for (int64_t side : output->shape) product *= side;
  EXPECT_EQ(static_cast<int64_t>(output->values.size()), product);
  EXPECT_EQ(output->shape.size(), head.output() == HeadOutputKind::kVector ? 1u : 3u);
  // Pooling a constant gives the constant, however one pools; sums are told apart.
  static const std::set<std::string_view> kSums = {"lp", "rmac", "crow", "spoc", "max_unpool"};
  if (kSums.contains(GetParam()->name)) return;
  for (float value : output->values) EXPECT_NEAR(value, 1.5f, 1e-5);
}

std::vector<const HeadType*> AllTypes() {
  std::vector<const HeadType*> types;
  for (const HeadType& type : HeadTypes()) types.push_back(&type);
  return types;
}

INSTANTIATE_TEST_SUITE_P(AllHeads, HeadTableTest, testing::ValuesIn(AllTypes()),
                         [](const auto& info) { return std::string(info.param->name); });

// What it holds is compared with docs/heads.json by head_json_test, with the proto by
// head_fields_test.
TEST(HeadTable, FindsNothingElse) { EXPECT_EQ(FindHeadType("netvlad"), nullptr); }

}  // namespace
}  // namespace pixpool
