// What server/metrics names by hand has the names of the .proto files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "inference/grpc_service.pb.h"
#include "pixpool/v1/feature_service.pb.h"
#include "server/metrics/metrics.h"
#include "server/rpc/extract_convert.h"

namespace pixpool {
namespace {

void AddMethods(const google::protobuf::FileDescriptor* file, std::vector<std::string>* names) {
  for (int s = 0; s < file->service_count(); ++s) {
    const google::protobuf::ServiceDescriptor* service = file->service(s);
    for (int m = 0; m < service->method_count(); ++m) names->push_back(service->method(m)->name());
  }
}

TEST(ProtoNamesTest, EveryMethodOfTheServicesIsCountedUnderItsName) {
  std::vector<std::string> served;
  AddMethods(v1::GetModelRequest::descriptor()->file(), &served);
  AddMethods(inference::ModelInferRequest::descriptor()->file(), &served);
  ASSERT_GT(served.size(), 5u);
  std::vector<std::string> counted;
  for (int i = 0; i < kRpcMethodCount; ++i) {
    const RpcMethod method = static_cast<RpcMethod>(i);
    if (!IsPath(method)) counted.emplace_back(RpcMethodName(method));
  }
  EXPECT_THAT(counted, testing::UnorderedElementsAreArray(served));
}

TEST(ProtoNamesTest, EveryStageOfAnImageIsInItsStageTimesUnderItsName) {
  StageDurations times{};
  for (size_t s = 0; s < times.size(); ++s) times[s] = std::chrono::seconds(s + 1);
  v1::StageTimes message;
  StageTimesToProto(times, &message);
  const auto* reflection = v1::StageTimes::GetReflection();
  // All but the conversion of the reply, which is a request's.
  constexpr int kImageStages = static_cast<int>(Stage::kConvert);
  ASSERT_EQ(kImageStages, kStageCount - 1);
  EXPECT_EQ(v1::StageTimes::descriptor()->field_count(), kImageStages);
  for (int s = 0; s < kImageStages; ++s) {
    const std::string name(StageName(static_cast<Stage>(s)));
    const auto* field = v1::StageTimes::descriptor()->FindFieldByName(name);
    ASSERT_NE(field, nullptr) << name;
    google::protobuf::Duration duration;
    duration.CopyFrom(reflection->GetMessage(message, field));
    EXPECT_EQ(duration.seconds(), s + 1) << name;
  }
}

}  // namespace
}  // namespace pixpool
