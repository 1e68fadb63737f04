#include "client/cpp/proxy.h"

#include <cstdlib>

#include "client/cpp/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/fakes.h"

namespace pixpool::client::internal {
namespace {

using ::testing::EndsWith;

// UNAVAILABLE with the reason of a server.
absl::Status CallStatus(const char* reason) {
  return FromGrpcStatus(CallError(grpc::StatusCode::UNAVAILABLE, "no", reason), nullptr);
}

class ProxyTest : public testing::Test {
 protected:
  ProxyTest() { Clear(); }
  ~ProxyTest() override { Clear(); }

  static void Clear() {
    for (const char* const name :
         {"grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"}) {
      unsetenv(name);
    }
  }
};

TEST_F(ProxyTest, TellsWhatIsOnThisMachine) {
  for (const char* const target :
       {"127.0.0.1:50051", "127.1.2.3:1", "localhost:50051", "LOCALHOST", "pixpool.localhost:1",
        "[::1]:50051", "::1", "unix:/run/pixpool.sock", "unix:///run/pixpool.sock",
        "unix-abstract:pixpool", "dns:///localhost:50051", "dns://8.8.8.8/127.0.0.1:1",
        "ipv4:127.0.0.1:50051", "ipv6:[::1]:50051", "dns:localhost:1", "0.0.0.0:50051",
        "[::]:50051"}) {
    EXPECT_TRUE(IsOnThisMachine(target)) << target;
  }
  for (const char* const target :
       {"", "pixpool:50051", "10.0.0.1:50051", "127.0.0.1.example.com:1", "127.0.0:1",
        "127.0.0.256:1", "localhost.example.com:1", "mylocalhost:1", "[::2]:1", "[2001:db8::1]:1",
        "dns:///pixpool.example.com:1", "dns://127.0.0.1/pixpool:1", "unix.example.com:1"}) {
    EXPECT_FALSE(IsOnThisMachine(target)) << target;
  }
}

TEST_F(ProxyTest, NamesTheVariableThatCounts) {
  EXPECT_EQ(ProxyVariable("pixpool:50051"), "");
  setenv("http_proxy", "http://proxy:3128", 1);
  EXPECT_EQ(ProxyVariable("pixpool:50051"), "http_proxy");
  EXPECT_EQ(ProxyVariable("localhost:50051"), "");
  setenv("https_proxy", "http://proxy:3128", 1);
  EXPECT_EQ(ProxyVariable("pixpool:50051"), "https_proxy");
  setenv("grpc_proxy", "http://proxy:3128", 1);
  EXPECT_EQ(ProxyVariable("dns:///pixpool.example.com:50051"), "grpc_proxy");
}

TEST_F(ProxyTest, LeavesOutWhatTheEnvironmentExcepts) {
  setenv("https_proxy", "http://proxy:3128", 1);
  setenv("no_proxy", "internal, .example.com,,10.0.0.1", 1);
  EXPECT_EQ(ProxyVariable("pixpool.example.com:50051"), "");
  EXPECT_EQ(ProxyVariable("internal:50051"), "");
  EXPECT_EQ(ProxyVariable("10.0.0.1:50051"), "");
  EXPECT_EQ(ProxyVariable("pixpool.example.org:50051"), "https_proxy");
  setenv("no_grpc_proxy", "example.org", 1);
  EXPECT_EQ(ProxyVariable("pixpool.example.org:50051"), "");
  EXPECT_EQ(ProxyVariable("pixpool.example.com:50051"), "https_proxy");
}

TEST_F(ProxyTest, WhoReachesNoServerIsToldWhatMayHelp) {
  const auto explain = [](absl::string_view target) {
    const absl::Status told = ExplainUnreached(absl::UnavailableError("refused"), target);
    EXPECT_EQ(told, ExplainUnreached(told, target)) << "once is enough";
    return std::string(told.message());
  };
  EXPECT_EQ(explain("dns:///localhost:1"),
            "refused; no server answers at dns:///localhost:1; is it running, and in TLS where the "
            "client is? \"pixpool-server --listen localhost:1\" starts one");
  EXPECT_THAT(explain("unix:/run/a.sock"), EndsWith("--listen unix:/run/a.sock\" starts one"));
  EXPECT_THAT(explain("pixpool:50051"), EndsWith("in TLS where the client is?"));
  setenv("http_proxy", "http://proxy:3128", 1);
  EXPECT_EQ(explain("pixpool:50051"),
            "refused; no server answers at pixpool:50051, asked through the proxy that the "
            "environment's http_proxy names; no_proxy with the server's name goes straight there");
  for (const absl::Status& other :
       {absl::OkStatus(), absl::DeadlineExceededError("late"), CallStatus("DRAINING")}) {
    EXPECT_EQ(ExplainUnreached(other, "pixpool:50051"), other);
  }
  absl::Status with_payload = absl::UnavailableError("refused");
  with_payload.SetPayload("some", absl::Cord("thing"));
  EXPECT_EQ(ExplainUnreached(with_payload, "pixpool:50051").GetPayload("some"), "thing");
}

}  // namespace
}  // namespace pixpool::client::internal
