#include "server/rpc/grpc_server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "client/cpp/client.h"
#include "pixpool/v1/feature_service.grpc.pb.h"

namespace pixpool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Answers every call of its own accord: UNIMPLEMENTED.
v1::FeatureService::Service empty_service;
Metrics metrics;

std::unique_ptr<GrpcServer> Start() {
  auto server = StartGrpcServer({.listen = "127.0.0.1:0"}, {&empty_service}, &metrics);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

const std::string& Target(const GrpcServer& server) { return server.addresses().front(); }

bool Serves(const GrpcServer& server, const std::string& name) {
  const auto client = client::Client::Create({.target = Target(server)});
  const auto health = (*client)->CheckHealth(name);
  return health.ok() && *health == client::Health::kServing;
}

TEST(GrpcServerTest, NothingServesUntilTold) {
  const auto server = Start();
  EXPECT_THAT(server->addresses(), ElementsAre(StartsWith("127.0.0.1:")));
  EXPECT_THAT(server->addresses(), Not(ElementsAre("127.0.0.1:0")));
  EXPECT_FALSE(Serves(*server, ""));
  server->SetServing("", true);
  server->SetServing("model", true);
  EXPECT_TRUE(Serves(*server, ""));
  EXPECT_TRUE(Serves(*server, "model"));
  server->SetServing("model", false);
  EXPECT_FALSE(Serves(*server, "model"));
  EXPECT_TRUE(Serves(*server, ""));
  server->SetNotServing();
  EXPECT_FALSE(Serves(*server, ""));
  server->SetServing("", true);  // too late: not serving is for good
  EXPECT_FALSE(Serves(*server, ""));
  server->Shutdown(absl::ZeroDuration());
}

TEST(GrpcServerTest, AddressThatCannotBeBoundIsOneClearError) {
  const auto server = Start();
  for (const std::string& address : {Target(*server), std::string("203.0.113.7:50051")}) {
    const auto second = StartGrpcServer({.listen = address}, {&empty_service}, &metrics);
    ASSERT_FALSE(second.ok()) << address;
    EXPECT_TRUE(absl::IsUnavailable(second.status()));
    EXPECT_THAT(std::string(second.status().message()), HasSubstr(address));
    EXPECT_THAT(std::string(second.status().message()), HasSubstr("--listen"));
  }
  server->Shutdown(absl::ZeroDuration());
}

}  // namespace
}  // namespace pixpool
