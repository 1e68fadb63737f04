#include "server/pipeline/answer_key.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "server/base/text.h"
#include "server/pipeline/plan_request.h"
#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

const std::string& Pixels() {
  static const std::string pixels(32 * 32 * 3, 'x');
  return pixels;
}

ImageInput Raw(std::string_view pixels = Pixels(), int width = 32, int height = 32) {
  return {.raw = pixels, .raw_width = width, .raw_height = height, .is_raw = true};
}

class AnswerKeyTest : public ::testing::Test {
 protected:
  // The key of the first image, or nothing where the request is refused.
  std::optional<AnswerKey> KeyOf(ExtractRequest request, std::string caller = "@a",
                                 bool shared = false, Priority priority = Priority::kInteractive) {
    if (request.images.empty()) request.images.push_back(Raw());
    request.context = std::make_shared<CallContext>(TimePoint::max(), priority, std::move(caller));
    RequestWork work;
    work.request = std::move(request);
    work.result.model = *fake_.registry.Get("", "");
    if (!PlanRequest({}, &work).ok() || !work.images[0].features.status.ok()) return std::nullopt;
    return AnswerKeys(work, shared).Of(work.images[0]);
  }

  Sha256Digest Answer(const ExtractRequest& request) {
    const auto key = KeyOf(request);
    EXPECT_TRUE(key.has_value());
    return key ? key->answer : Sha256Digest{};
  }

  // A metric of each model, which is why there are metrics.
  Metrics metrics_;
  FakeRegistry fake_{&metrics_};
};

using Change = std::function<void(ExtractRequest&)>;

ExtractRequest Changed(const Change& change) {
  ExtractRequest request;
  request.images.push_back(Raw());
  request.heads.push_back({.kind = "global_avg"});
  change(request);
  return request;
}

TEST_F(AnswerKeyTest, WhateverChangesAnAnswerChangesTheKey) {
  static const std::string other(32 * 32 * 3, 'y');
  const auto input = [](auto set) -> Change { return [set](ExtractRequest& r) { set(r.input); }; };
  const auto head = [](auto set) -> Change {
    return [set](ExtractRequest& r) { set(r.heads[0]); };
  };
  const auto region = [](auto set) -> Change {
    return [set](ExtractRequest& r) {
      r.images[0].regions.push_back({.box = {0, 0, 16, 16}});
      set(r);
    };
  };
  const std::vector<std::pair<const char*, Change>> changes = {
      {"nothing", [](ExtractRequest&) {}},
      {"pixels", [](ExtractRequest& r) { r.images[0] = Raw(other); }},
      {"shape", [](ExtractRequest& r) { r.images[0] = Raw(Pixels(), 64, 16); }},
      {"shape, turned", [](ExtractRequest& r) { r.images[0] = Raw(Pixels(), 16, 64); }},
      {"resize", input([](InputOptions& o) { o.resize = ResizeMode::kExact; })},
      {"shorter side", input([](InputOptions& o) { o.resize = ResizeMode::kShorterSide; })},
      {"size of it", input([](InputOptions& o) {
         o.resize = ResizeMode::kShorterSide;
         o.resize_size = 40;
       })},
      {"crop", input([](InputOptions& o) { o.crop = CropMode::kCenter; })},
      {"height", input([](InputOptions& o) {
         o.resize = ResizeMode::kExact;
         o.height = 48;
         o.width = 32;
       })},
      {"width", input([](InputOptions& o) {
         o.resize = ResizeMode::kExact;
         o.height = 32;
         o.width = 48;
       })},
      {"exif", input([](InputOptions& o) { o.apply_exif = false; })},
      {"decode", input([](InputOptions& o) {
         o.resize = ResizeMode::kExact;
         o.scaled_decode = true;
       })},
      {"black", input([](InputOptions& o) {
         o.background = {0, 0, 0};
       })},
      {"blue", input([](InputOptions& o) {
         o.background = {0, 0, 1};
       })},
      {"green", input([](InputOptions& o) {
         o.background = {0, 1, 0};
       })},
      {"scales", input([](InputOptions& o) {
         o.scales = {1, 2};
       })},
      {"scale", input([](InputOptions& o) { o.scales = {2}; })},
      {"flip", input([](InputOptions& o) { o.flip = true; })},
      {"damaged", input([](InputOptions& o) { o.refuse_damaged = true; })},
      {"layer", head([](HeadRequest& h) { h.layer = "early"; })},
      {"l2", head([](HeadRequest& h) { h.l2_normalized = true; })},
      {"float16", head([](HeadRequest& h) { h.encoding = Encoding::kFloat16; })},
      {"int8", head([](HeadRequest& h) { h.encoding = Encoding::kInt8; })},
      {"binary", head([](HeadRequest& h) { h.encoding = Encoding::kBinary; })},
      {"twice", [](ExtractRequest& r) { r.heads.push_back(r.heads[0]); }},
      {"two", [](ExtractRequest& r) { r.heads.push_back({.kind = "global_max"}); }},
      {"swapped",
       [](ExtractRequest& r) { r.heads.insert(r.heads.begin(), {.kind = "global_max"}); }},
      {"a region", region([](ExtractRequest&) {})},
      {"another", region([](ExtractRequest& r) { r.images[0].regions[0].box.right = 17; })},
      {"two regions",
       region([](ExtractRequest& r) { r.images[0].regions.push_back(r.images[0].regions[0]); })},
      {"whole image", region([](ExtractRequest& r) { r.regions.include_image = true; })},
      {"crop of it", region([](ExtractRequest& r) { r.regions.mode = RegionMode::kCrop; })},
      {"pool", region([](ExtractRequest& r) { r.regions.pooling = RegionPoolingKind::kRoiPool; })},
      {"output size", region([](ExtractRequest& r) { r.regions.output_size = {3}; })},
      {"output height", region([](ExtractRequest& r) {
         r.regions.output_size = {3, 7};
       })},
      {"samples", region([](ExtractRequest& r) { r.regions.sampling_ratio = 2; })},
      {"aligned", region([](ExtractRequest& r) { r.regions.aligned = false; })},
  };
  std::map<Sha256Digest, const char*> seen;
  for (const auto& [name, change] : changes) {
    const auto [at, is_new] = seen.emplace(Answer(Changed(change)), name);
    EXPECT_TRUE(is_new) << name << " has the key of " << at->second;
  }
}

TEST_F(AnswerKeyTest, TwoWaysToSayTheSameHaveTheSameKey) {
  const auto same = [&](const char* what, const Change& one, const Change& other) {
    EXPECT_EQ(Answer(Changed(one)), Answer(Changed(other))) << what;
  };
  const Change nothing = [](ExtractRequest&) {};
  same("the default head", nothing, [](ExtractRequest& r) { r.heads.clear(); });
  same("the default layer", nothing, [](ExtractRequest& r) { r.heads[0].layer = "last"; });
  same("the name of a head", nothing, [](ExtractRequest& r) { r.heads[0].id = "mine"; });
  same("the recipe", nothing, [](ExtractRequest& r) { r.input.resize = ResizeMode::kNone; });
  same("what the server does", nothing, [](ExtractRequest& r) { r.input.refuse_damaged = false; });
  same("the model by name", nothing, [](ExtractRequest& r) { r.model = "fake"; });
  same("regions' options without regions", nothing,
       [](ExtractRequest& r) { r.regions.aligned = false; });
  same("a neighbour", nothing, [](ExtractRequest& r) { r.images.push_back(Raw()); });
  same(
      "scales",
      [](ExtractRequest& r) {
        r.input.scales = {1, 2};
      },
      [](ExtractRequest& r) {
        r.input.scales = {2, 1};
      });
  same(
      "a default parameter", [](ExtractRequest& r) { r.heads = {{.kind = "gem"}}; },
      [](ExtractRequest& r) {
        r.heads = {{.kind = "gem", .params = {{"p", 3.0}}}};
      });
  same(
      "shares and pixels",
      [](ExtractRequest& r) {
        r.images[0].regions = {{.id = "a", .box = {0, 0, 16, 16}}};
      },
      [](ExtractRequest& r) {
        r.images[0].regions = {{.id = "b", .box = {0, 0, 0.5, 0.5}, .relative = true}};
      });
}

TEST_F(AnswerKeyTest, CallersHaveTheirOwnUnlessTheyShare) {
  const AnswerKey a = *KeyOf({}, "@a");
  EXPECT_EQ(a.answer, KeyOf({}, "@a")->answer);
  EXPECT_EQ(a.flight, KeyOf({}, "@a")->flight);
  EXPECT_NE(a.answer, KeyOf({}, "@b")->answer);
  EXPECT_NE(a.answer, KeyOf({}, "a")->answer);
  EXPECT_EQ(KeyOf({}, "@a", true)->answer, KeyOf({}, "@b", true)->answer);
  // But nobody waits for another caller's turn, or for that of bulk work.
  EXPECT_NE(KeyOf({}, "@a", true)->flight, KeyOf({}, "@b", true)->flight);
  const AnswerKey bulk = *KeyOf({}, "@a", false, Priority::kBulk);
  EXPECT_EQ(a.answer, bulk.answer);
  EXPECT_NE(a.flight, bulk.flight);
}

TEST_F(AnswerKeyTest, AModelThatIsLoadedAnewHasOthers) {
  const AnswerKey before = *KeyOf({});
  fake_.registry.SetReady("fake", "1", std::make_shared<FakeModel>());
  EXPECT_NE(before.answer, KeyOf({})->answer);
}

// Values of a parameter that differ from its default, as far as the table tells.
std::vector<ParamValue> ValuesOf(const ParamSpec& spec) {
  switch (spec.type) {
    case ParamType::kBool:
      return {true, false};
    case ParamType::kInt:
    case ParamType::kFloat: {
      std::vector<ParamValue> values;
      for (const double share : {0.0, 0.001, 0.25, 0.5}) {
        const double value = spec.min + (spec.max - spec.min) * share;
        if (spec.type == ParamType::kFloat) {
          values.emplace_back(value + (share == 0 && spec.min_open ? 1e-3 : 0));
        } else {
          values.emplace_back(static_cast<int64_t>(value));
        }
      }
      for (const int64_t small : {1, 2, 3, 4}) {
        if (spec.type == ParamType::kInt) values.emplace_back(small);
      }
      return values;
    }
    case ParamType::kIntList: {
      using List = std::vector<int64_t>;
      return {List{0}, List{1}, List{2}, List{3}, List{1, 2}, List{2, 1}, List{2, 3}};
    }
    case ParamType::kEnum: {
      std::vector<ParamValue> values;
      for (const absl::string_view name : absl::StrSplit(ToAbsl(spec.enum_values), '|')) {
        values.emplace_back(std::string(name));
      }
      return values;
    }
    case ParamType::kText:
      return {std::string("vlad"), std::string("embedding")};
  }
  return {};
}

// Of every kind of head every parameter, as the table of heads has them: a parameter that is added
// is in here by itself.
TEST_F(AnswerKeyTest, EveryParameterOfEveryHeadIsInTheKey) {
  size_t tried = 0;
  for (const HeadType& type : HeadTypes()) {
    // Required parameters, with what most heads take.
    HeadRequest plain = {.kind = std::string(type.name)};
    for (const ParamSpec& spec : type.params) {
      if (!spec.required) continue;
      plain.params.emplace(std::string(spec.name), spec.type == ParamType::kText
                                                       ? ParamValue(std::string("vlad"))
                                                       : ParamValue(std::vector<int64_t>{2}));
    }
    if (type.name == "conv_pool") {
      plain.params.emplace("mean_filter", true);
      plain.params.emplace("kernel_size", std::vector<int64_t>{2});
    }
    const ParamMap defaults = [&] {
      const auto specs = ValidateHeads({plain}, fake_.model->info().Scope());
      return specs.ok() ? specs->front().params : ParamMap();
    }();
    for (const ParamSpec& spec : type.params) {
      std::map<Sha256Digest, ParamMap> seen;
      for (const ParamValue& value : ValuesOf(spec)) {
        ExtractRequest request;
        HeadRequest head = plain;
        head.params[std::string(spec.name)] = value;
        const auto specs = ValidateHeads({head}, fake_.model->info().Scope());
        if (!specs.ok()) continue;
        request.heads = {head};
        const auto key = KeyOf(request);
        if (!key) continue;
        ++tried;
        const auto [at, is_new] = seen.emplace(key->answer, specs->front().params);
        EXPECT_TRUE(is_new || at->second == specs->front().params)
            << type.name << "." << spec.name << ": values that differ have the same key";
      }
      EXPECT_FALSE(seen.empty() && !defaults.empty() && spec.name != "bundle_filter")
          << type.name << "." << spec.name << ": no value of it was tried";
    }
  }
  EXPECT_GT(tried, 80u);
}

}  // namespace
}  // namespace pixpool
