#include "server/net/health_call.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

std::string Frame(char type, char stream, const std::string& payload) {
  return std::string({0, 0, static_cast<char>(payload.size()), type, 0, 0, 0, 0, stream}) + payload;
}

TEST(HealthCallTest, BeginsWithThePreface) {
  EXPECT_EQ(HealthCallBytes().substr(0, 24), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

// That gRPC understands the call and answers is shown by rpc_grpc_server_test.
TEST(HealthCallTest, AnAnswerIsDataOfItsStream) {
  const std::string settings = Frame(4, 0, std::string(30, 's'));
  const std::string data = Frame(0, 1, "m");
  EXPECT_TRUE(HoldsAnswer(settings + data));
  for (size_t cut = 0; cut + 1 < (settings + data).size(); ++cut) {
    EXPECT_FALSE(HoldsAnswer((settings + data).substr(0, cut))) << cut;
  }
  EXPECT_FALSE(HoldsAnswer(settings + Frame(1, 1, "headers only")));
  EXPECT_FALSE(HoldsAnswer(Frame(0, 3, "another stream")));
  EXPECT_FALSE(HoldsAnswer(Frame(0, 1, "")));
  EXPECT_FALSE(HoldsAnswer("HTTP/1.1 400 Bad Request\r\n\r\n"));
}

}  // namespace
}  // namespace pixpool
