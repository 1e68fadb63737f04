#include "server/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "server/image/decode.h"

namespace pixpool {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class ConfigTest : public testing::Test {
 protected:
  void TearDown() override { std::remove(path_.c_str()); }

  // The path of a file with this text.
  std::string File(const std::string& text) {
    std::ofstream(path_) << text;
    return path_;
  }

  const std::string path_ = testing::TempDir() + "/config_test_" +
                            testing::UnitTest::GetInstance()->current_test_info()->name() + ".toml";
};

ConfigResult Parse(std::vector<std::string> args, std::vector<std::string> env = {}) {
  return ParseConfig(args, env);
}

// What is printed for a configuration with problems.
std::string Problems(std::vector<std::string> args, std::vector<std::string> env = {}) {
  const ConfigResult result = ParseConfig(args, env);
  EXPECT_EQ(result.action, ConfigAction::kExit);
  EXPECT_EQ(result.exit_code, 2);
  return result.output;
}

TEST_F(ConfigTest, NothingGivesTheDefaults) {
  const ConfigResult result = Parse({}, {"HOME=/x", "PATH=/bin", "PIXPOOL", "XPIXPOOL_A=1"});
  EXPECT_EQ(result.action, ConfigAction::kServe) << result.output;
  EXPECT_EQ(result.config.rpc.listen.value(), "127.0.0.1:50051");
  EXPECT_EQ(result.config.http.listen.value(), "127.0.0.1:8080");
  EXPECT_EQ(result.config.pipeline.max_batch_size, 8);
  EXPECT_TRUE(result.config.rpc.reflection);
}

TEST_F(ConfigTest, FlagsTakeTheirValueEitherWay) {
  const ConfigResult result = Parse({"--max-batch-size", "4", "--listen=[::1]:1",
                                     "--http-listen=", "--no-reflection", "--instances", "2"});
  ASSERT_EQ(result.action, ConfigAction::kServe) << result.output;
  EXPECT_EQ(result.config.pipeline.max_batch_size, 4);
  EXPECT_EQ(result.config.rpc.listen.value(), "[::1]:1");
  EXPECT_EQ(result.config.http.listen.value(), "");
  EXPECT_FALSE(result.config.rpc.reflection);
  EXPECT_EQ(result.config.model.instances, 2);
  EXPECT_TRUE(Parse({"--reflection"}).config.rpc.reflection);
  EXPECT_FALSE(Parse({"--reflection=false"}).config.rpc.reflection);
}

TEST_F(ConfigTest, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  const std::string file = File("instances = 1\ndecode-threads = 1\nreply-threads = 2\n");
  const ConfigResult result =
      Parse({"--config", file, "--instances=3"},
            {"PIXPOOL_INSTANCES=2", "PIXPOOL_DECODE_THREADS=2", "PIXPOOL_MODELS_DIR=m=1"});
  ASSERT_EQ(result.action, ConfigAction::kServe) << result.output;
  EXPECT_EQ(result.config.model.instances, 3);
  EXPECT_EQ(result.config.pipeline.decode_threads, 2);
  EXPECT_EQ(result.config.pipeline.reply_threads, 2);
  EXPECT_EQ(result.config.repository.models_dir.value(), "m=1");
  EXPECT_EQ(result.config.pipeline.max_batch_size, 8);
  EXPECT_EQ(Parse({}, {"PIXPOOL_CONFIG=" + file}).config.pipeline.reply_threads, 2);
}

TEST_F(ConfigTest, FormatsThatTheBuildLacksAreAProblem) {
  const std::vector<std::string_view> built = FormatNames();
  for (const std::string_view choice : ImageLimits::kFormatChoices) {
    const std::string name(choice);
    const bool is_built = std::find(built.begin(), built.end(), name) != built.end();
    if (is_built || name == ImageLimits::kAllFormats) {
      const ConfigResult result = Parse({"--formats", name});
      EXPECT_EQ(result.action, ConfigAction::kServe) << result.output;
      EXPECT_EQ(result.config.pipeline.image.formats.value(), name);
    } else {
      EXPECT_THAT(Problems({"--formats", "png," + name}),
                  HasSubstr("--formats lists " + name + ", which this server is built without"));
    }
  }
  EXPECT_THAT(Problems({"--formats", "png,heif"}), HasSubstr("\"heif\""));
}

TEST_F(ConfigTest, EveryProblemIsListed) {
  const std::string file = File("instances = 9999\nlisten-on = \"x\"\ninstances = 1\nbroken\n");
  const std::string out = Problems(
      {"--config=" + file, "--max-batchsize", "4", "--device", "gpu", "--listen", "--verbose"},
      {"PIXPOOL_MAX_BATCH_SIZE=1e3", "PIXPOOL_INSTANCE=2", "PIXPOOL_DECODE_THREADS="});
  EXPECT_THAT(out, StartsWith("pixpool-server: 12 problems"));
  EXPECT_THAT(out, HasSubstr("unknown flag \"--max-batchsize\", did you mean --max-batch-size?"));
  EXPECT_THAT(out, HasSubstr("unexpected argument \"4\""));
  EXPECT_THAT(out, HasSubstr("--device: \"gpu\" is not one of auto, cpu, cuda"));
  EXPECT_THAT(out, HasSubstr("--listen: needs a value"));
  EXPECT_THAT(out, HasSubstr("unknown flag \"--verbose\"\n"));
  EXPECT_THAT(out, HasSubstr("PIXPOOL_MAX_BATCH_SIZE: \"1e3\" is not a whole number"));
  EXPECT_THAT(out, HasSubstr("allowed: 1 to 1024"));
  EXPECT_THAT(out, HasSubstr("unknown environment variable \"PIXPOOL_INSTANCE\", did you mean "
                             "PIXPOOL_INSTANCES?"));
  EXPECT_THAT(out, HasSubstr("PIXPOOL_DECODE_THREADS: \"\" is not a whole number"));
  EXPECT_THAT(out, HasSubstr(file + ":1: instances: \"9999\" is out of range"));
  EXPECT_THAT(out, HasSubstr(file + ":2: unknown option \"listen-on\""));
  EXPECT_THAT(out, HasSubstr(file + ":3: \"instances\" was set already at " + file + ":1"));
  EXPECT_THAT(out, HasSubstr(file + ":4: \"broken\" is not name = value"));
}

TEST_F(ConfigTest, AValueThatIsOverriddenMustBeValidAllTheSame) {
  EXPECT_THAT(Problems({"--instances=1"}, {"PIXPOOL_INSTANCES=x"}),
              HasSubstr("PIXPOOL_INSTANCES: \"x\""));
}

TEST_F(ConfigTest, FlagsThatAreNoFlags) {
  EXPECT_THAT(Problems({"-x"}), HasSubstr("unexpected argument \"-x\""));
  EXPECT_THAT(Problems({"--"}), HasSubstr("unexpected argument \"--\""));
  EXPECT_THAT(Problems({""}), HasSubstr("unexpected argument \"\""));
  EXPECT_THAT(Problems({"--no-listen"}), HasSubstr("unknown flag \"--no-listen\""));
  EXPECT_EQ(Parse({"--print-heads"}).action, ConfigAction::kPrintHeads);
  EXPECT_THAT(Problems({"--print-heads", "--max-batch-size=0"}), HasSubstr("1 problem with"));
  EXPECT_THAT(Problems({"--check-config=1"}), HasSubstr("--check-config: takes no value"));
  EXPECT_THAT(Problems({"--instances=1", "--instances", "2"}),
              HasSubstr("--instances: given twice"));
  EXPECT_THAT(Problems({"--=x"}), HasSubstr("unknown flag"));
  EXPECT_THAT(Problems({"--\n\x1b[2J"}), Not(HasSubstr("\x1b"))) << "printed to a terminal";
}

TEST_F(ConfigTest, ConfigFileProblems) {
  EXPECT_THAT(Problems({"--config", path_ + ".missing"}), HasSubstr("cannot read"));
  EXPECT_THAT(Problems({"--config="}), HasSubstr("--config: must not be empty"));
  EXPECT_THAT(Problems({"--config"}), HasSubstr("--config: needs a value"));
  EXPECT_THAT(Problems({"--config", File("config = \"x\"\n")}), HasSubstr("unknown option"));
}

TEST_F(ConfigTest, ContradictionsNameBothOptions) {
  EXPECT_THAT(Problems({"--max-image-bytes=65MiB"}),
              AllOf(HasSubstr("--max-image-bytes 68157440"), HasSubstr("--max-message-bytes")));
  EXPECT_THAT(Problems({"--max-in-flight-bytes=1MiB"}), HasSubstr("--max-in-flight-bytes 1048576"));
  EXPECT_THAT(Problems({"--max-in-flight-pixels=100000000"}),
              AllOf(HasSubstr("--max-image-memory 536870912"), HasSubstr("100000000")));
  EXPECT_THAT(Problems({"--default-deadline-ms=70000"}), HasSubstr("--max-deadline-ms 60000"));
  EXPECT_THAT(Problems({"--max-batch-delay-ms=500", "--default-deadline-ms=400"}),
              HasSubstr("--max-batch-delay-ms 500"));
  EXPECT_THAT(Problems({"--max-stream-in-flight=300"}), HasSubstr("one stream would fill"));
  EXPECT_THAT(Problems({"--max-connections-per-address=101", "--max-connections=100"}),
              HasSubstr("--max-connections-per-address 101 is over --max-connections 100"));
  EXPECT_THAT(Problems({"--max-batch-size=64", "--max-in-flight-requests=32",
                        "--max-images-per-request=1"}),
              HasSubstr("could never fill"));
  EXPECT_THAT(Problems({"--http-listen=127.0.0.1:50051"}), HasSubstr("want the same port"));
  EXPECT_THAT(Problems({"--http-listen=0.0.0.0:50051"}), HasSubstr("want the same port"));
  EXPECT_THAT(Problems({"--listen=unix:/a,127.0.0.1:1,[::]:8080"}),
              HasSubstr("--listen [::]:8080 and --http-listen 127.0.0.1:8080 want the same port"));
  EXPECT_THAT(Problems({"--rest-listen=0.0.0.0:8080"}),
              HasSubstr("--http-listen 127.0.0.1:8080 and --rest-listen 0.0.0.0:8080 want"));
  EXPECT_THAT(Problems({"--rest-listen=127.0.0.1:50051"}),
              HasSubstr("--listen 127.0.0.1:50051 and --rest-listen 127.0.0.1:50051 want"));
  EXPECT_THAT(Problems({"--tls-cert=a.pem"}), HasSubstr("--tls-cert a.pem needs --tls-key too"));
  EXPECT_THAT(Problems({"--tls-key=a.key", "--tls-client-ca=ca.pem"}),
              AllOf(HasSubstr("--tls-key a.key needs --tls-cert too"),
                    HasSubstr("--tls-client-ca ca.pem needs --tls-cert too")));
  EXPECT_THAT(Problems({"--tokens=a", "--caller-header=x"}),
              HasSubstr("--tokens and --caller-header both say whose a call is: leave one out"));
  EXPECT_THAT(Problems({"--models-dir="}), HasSubstr("--models-dir: \"\" must not be empty"));
}

TEST_F(ConfigTest, AMetadataEntryThatNoCallCouldHaveIsRefusedWithWhatToWrite) {
  const auto problem = [](const std::string& name) {
    return Problems({"--caller-header=" + name});
  };
  EXPECT_THAT(problem("X-Api-Key"),
              AllOf(HasSubstr("--caller-header: \"X-Api-Key\" is not in lower case"),
                    HasSubstr("write x-api-key\n")));
  EXPECT_THAT(problem("x y"), HasSubstr("is no name of gRPC metadata, which has a to z, 0 to 9"));
  EXPECT_THAT(problem(":authority"), HasSubstr("is no name of gRPC metadata"));
  EXPECT_THAT(problem("x-\xc3\xa4"), HasSubstr("is no name of gRPC metadata"));
  EXPECT_THAT(problem("x-id-bin"), HasSubstr("names bytes"));
  for (const char* name : {"grpc-timeout", "te", "content-type", "host"}) {
    EXPECT_THAT(problem(name), HasSubstr("gRPC and HTTP/2 keep for themselves")) << name;
  }
  EXPECT_THAT(problem("pixpool-priority"), HasSubstr("says how urgent a call is"));
  EXPECT_THAT(problem("traceparent"), HasSubstr("says its trace"));
  for (const char* name : {"", "pixpool-caller", "x-api-key-id", "x_id.2", "user-agent"}) {
    EXPECT_EQ(Parse({std::string("--caller-header=") + name}).action, ConfigAction::kServe) << name;
  }
}

TEST_F(ConfigTest, PortsThatDoNotCollide) {
  for (const auto& args :
       std::vector<std::vector<std::string>>{{"--listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"},
                                             {"--listen=127.0.0.2:8080"},
                                             {"--http-listen="}}) {
    EXPECT_EQ(Parse(args).action, ConfigAction::kServe) << Parse(args).output;
  }
}

TEST_F(ConfigTest, AListMayBeGivenAgain) {
  const auto listen = [](std::vector<std::string> args, std::vector<std::string> env = {}) {
    const ConfigResult result = Parse(std::move(args), std::move(env));
    EXPECT_EQ(result.action, ConfigAction::kServe) << result.output;
    return result.config.rpc.listen.value();
  };
  EXPECT_EQ(listen({"--listen", "a:1", "--instances=1", "--listen=unix:/a", "--listen=b:1,c:1"}),
            "a:1,unix:/a,b:1,c:1");
  EXPECT_EQ(listen({"--listen=a:1"}, {"PIXPOOL_LISTEN=b:1"}), "a:1") << "not joined with others";
  EXPECT_EQ(listen({}, {"PIXPOOL_LISTEN=b:1,unix:/a"}), "b:1,unix:/a");
  EXPECT_EQ(listen({"--config", File("listen = \"a:1,unix:/a\"\n")}), "a:1,unix:/a");
  EXPECT_THAT(Problems({"--listen=a:1", "--listen=a:1"}), HasSubstr("has a:1 twice"));
  EXPECT_THAT(Problems({"--listen=a:1", "--instances=1", "--instances=2"}),
              HasSubstr("--instances: given twice"));
}

TEST_F(ConfigTest, VariablesOfTheCommandAndTheScriptsAreNotOurs) {
  const ConfigResult result =
      Parse({}, {"PIXPOOL_TARGET=server:50051", "PIXPOOL_TORCH=/opt/libtorch",
                 "PIXPOOL_PYTHON=python3", "PIXPOOL_JOBS=2", "PIXPOOL_TEST_BUILD_DIR=build",
                 "PIXPOOL_TLS=false", "PIXPOOL_TOKEN_FILE="});
  EXPECT_EQ(result.action, ConfigAction::kServe) << result.output;
  EXPECT_TRUE(result.warnings.empty());
}

TEST_F(ConfigTest, VariablesThatLookAsIfTheyLockedTheDoorAreAWarning) {
  const std::vector<std::string> clients = {"PIXPOOL_TLS=1", "PIXPOOL_TOKEN_FILE=/run/token"};
  const ConfigResult open = Parse({}, clients);
  EXPECT_EQ(open.action, ConfigAction::kServe) << open.output;
  EXPECT_THAT(
      open.warnings,
      testing::ElementsAre("PIXPOOL_TLS is for clients: this server speaks plain text without "
                           "--tls-cert and --tls-key",
                           "PIXPOOL_TOKEN_FILE is for clients: this server asks for no token "
                           "without --tokens"));
  EXPECT_THAT(Parse({"--check-config"}, clients).output,
              AllOf(HasSubstr("configuration is valid\nwarning: PIXPOOL_TLS is for clients"),
                    HasSubstr("\nwarning: PIXPOOL_TOKEN_FILE is for clients")));
  const ConfigResult locked = Parse({"--tls-cert=a.pem", "--tls-key=a.key", "--tokens=t"}, clients);
  EXPECT_EQ(locked.action, ConfigAction::kServe) << locked.output;
  EXPECT_TRUE(locked.warnings.empty());
}

TEST_F(ConfigTest, ServiceLinksOfKubernetesAreNotOurs) {
  const ConfigResult result =
      Parse({}, {"PIXPOOL_SERVICE_HOST=10.0.0.1", "PIXPOOL_SERVICE_PORT=50051",
                 "PIXPOOL_SERVICE_PORT_GRPC=50051", "PIXPOOL_PORT=tcp://10.0.0.1:50051",
                 "PIXPOOL_PORT_50051_TCP=tcp://10.0.0.1:50051", "PIXPOOL_PORT_50051_TCP_ADDR=x",
                 "PIXPOOL_HTTP_SERVICE_HOST=10.0.0.2", "PIXPOOL_HTTP_PORT_8080_TCP_PROTO=tcp"});
  EXPECT_EQ(result.action, ConfigAction::kServe) << result.output;
  EXPECT_THAT(Problems({}, {"PIXPOOL_PORTS=1"}), HasSubstr("PIXPOOL_PORTS"));
  EXPECT_THAT(Problems({}, {"PIXPOOL_LISTEN_HOST=1"}), HasSubstr("PIXPOOL_LISTEN_HOST"));
}

TEST_F(ConfigTest, CheckConfigIsADryRun) {
  const ConfigResult good = Parse({"--check-config", "--instances=1"});
  EXPECT_EQ(good.action, ConfigAction::kExit);
  EXPECT_EQ(good.exit_code, 0);
  EXPECT_EQ(good.output, "configuration is valid\n");
  EXPECT_THAT(Problems({"--check-config", "--instances=x"}), HasSubstr("1 problem with"));
}

TEST_F(ConfigTest, PrintConfigIsAFileThatGivesTheSame) {
  const std::string file = File("models-dir = \"a \\\"b\\\" \\\\ # c\"\n");
  const ConfigResult first = Parse({"--print-config", "--config", file, "--max-batch-size=3"},
                                   {"PIXPOOL_LOG_LEVEL=debug"});
  ASSERT_EQ(first.exit_code, 0) << first.output;
  EXPECT_THAT(first.output, HasSubstr("max-batch-size = 3  # flag\n"));
  EXPECT_THAT(first.output, HasSubstr("log-level = \"debug\"  # environment\n"));
  EXPECT_THAT(first.output, HasSubstr("  # " + file + ":1\n"));
  EXPECT_THAT(first.output, HasSubstr("listen = \"127.0.0.1:50051\"  # default\n"));
  const ConfigResult second = Parse({"--config", File(first.output)});
  ASSERT_EQ(second.action, ConfigAction::kServe) << second.output;
  EXPECT_EQ(second.config.repository.models_dir.value(), "a \"b\" \\ # c");
  EXPECT_EQ(second.config.pipeline.max_batch_size, 3);
  EXPECT_EQ(second.config.log.level.value(), "debug");
}

TEST_F(ConfigTest, HelpNamesEveryOptionAndComesBeforeProblems) {
  const ConfigResult help = Parse({"--instances=x", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.output, HasSubstr("--max-batch-size COUNT"));
  EXPECT_THAT(help.output, HasSubstr("--[no-]reflection"));
  EXPECT_THAT(help.output, HasSubstr("Default: \"127.0.0.1:50051\"."));
  EXPECT_EQ(Parse({"-h"}).output, help.output);
  size_t longest = 0;
  for (size_t start = 0; start < help.output.size();) {
    const size_t end = help.output.find('\n', start);
    longest = std::max(longest, end - start);
    start = end + 1;
  }
  EXPECT_LE(longest, 100u);
}

TEST_F(ConfigTest, VersionIsOneLine) {
  const ConfigResult version = Parse({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.output, testing::MatchesRegex("pixpool-server [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

}  // namespace
}  // namespace pixpool
