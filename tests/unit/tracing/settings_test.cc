#include "server/tracing/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace pixpool {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

using Environment = std::map<std::string, std::string>;

absl::StatusOr<TracingSettings> Read(const Environment& variables) {
  return TracingFromEnvironment([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

constexpr char kEndpoint[] = "OTEL_EXPORTER_OTLP_ENDPOINT";

// With an endpoint.
absl::StatusOr<TracingSettings> With(Environment more) {
  more.try_emplace(kEndpoint, "http://collector:4318");
  return Read(more);
}

TEST(TracingSettingsTest, OffUnlessAnEndpointIsNamed) {
  EXPECT_FALSE(Read({})->on);
  EXPECT_FALSE(Read({{"OTEL_SERVICE_NAME", "x"}, {kEndpoint, ""}})->on);
  EXPECT_TRUE(With({})->on);
  EXPECT_TRUE(Read({{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:1/x"}})->on);
  EXPECT_FALSE(With({{"OTEL_SDK_DISABLED", "True"}})->on);
  EXPECT_FALSE(With({{"OTEL_TRACES_EXPORTER", "none"}})->on);
  EXPECT_TRUE(With({{"OTEL_TRACES_EXPORTER", "otlp"}})->on);
}

TEST(TracingSettingsTest, Endpoints) {
  const auto endpoint = [](const char* name, const char* url) {
    const auto settings = Read({{name, url}});
    return settings->host + " " + settings->port + " " + settings->path;
  };
  EXPECT_EQ(endpoint(kEndpoint, "http://collector:4318"), "collector 4318 /v1/traces");
  EXPECT_EQ(endpoint(kEndpoint, "http://collector:80/otlp/"), "collector 80 /otlp/v1/traces");
  EXPECT_EQ(endpoint(kEndpoint, "http://[::1]:4318"), "::1 4318 /v1/traces");
  EXPECT_EQ(endpoint(kEndpoint, "http://[::1]"), "::1 4318 /v1/traces");
  const char* const own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
  EXPECT_EQ(endpoint(own, "http://collector/spans"), "collector 4318 /spans");
  EXPECT_EQ(endpoint(own, "http://collector:9"), "collector 9 /");
  EXPECT_EQ(endpoint(kEndpoint, "https://collector:4318"), "collector 4318 /v1/traces");
  EXPECT_EQ(endpoint(kEndpoint, "https://collector"), "collector 443 /v1/traces");
  EXPECT_TRUE(Read({{kEndpoint, "https://collector"}})->tls.on);
  EXPECT_FALSE(Read({{kEndpoint, "http://collector"}})->tls.on);
  for (const char* url : {"collector:4318", "http://", "http://a:0", "http://a:x",
                          "http://u:secret@a:1", "ftp://a:1", "https://u:secret@a:1"}) {
    const auto settings = Read({{kEndpoint, url}});
    ASSERT_FALSE(settings.ok()) << url;
    EXPECT_THAT(std::string(settings.status().message()), HasSubstr(kEndpoint)) << url;
    EXPECT_THAT(std::string(settings.status().message()), Not(HasSubstr("secret"))) << url;
  }
}

TEST(TracingSettingsTest, FilesOfTls) {
  const Environment files = {{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/all.pem"},
                             {"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/traces.pem"},
                             {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/own.pem"},
                             {"OTEL_EXPORTER_OTLP_CLIENT_KEY", "/own.key"}};
  Environment secure = files;
  secure[kEndpoint] = "https://collector";
  const auto settings = Read(secure);
  EXPECT_EQ(settings->tls.ca.path, "/traces.pem");
  EXPECT_EQ(settings->tls.ca.variable, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE");
  EXPECT_EQ(settings->tls.certificate.path, "/own.pem");
  EXPECT_EQ(settings->tls.key.path, "/own.key");
  EXPECT_THAT(settings->warnings, testing::IsEmpty());
  EXPECT_THAT(With(files)->warnings, testing::SizeIs(3)) << "in plain text they are of no use";
  secure.erase("OTEL_EXPORTER_OTLP_CLIENT_KEY");
  EXPECT_EQ(Read(secure).status().message(),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY must be set where "
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is");
}

TEST(TracingSettingsTest, WarnsOfWhatItDoesNotHeed) {
  const auto settings = With({{"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
                              {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"},
                              {"OTEL_PROPAGATORS", "b3"},
                              {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "10"}});
  EXPECT_THAT(settings->warnings,
              ElementsAre(HasSubstr("OTEL_EXPORTER_OTLP_COMPRESSION is \"gzip\""),
                          HasSubstr("OTEL_PROPAGATORS is \"b3\""),
                          HasSubstr("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is not heeded")));
  EXPECT_THAT(With({{"OTEL_PROPAGATORS", "tracecontext,baggage"}})->warnings, testing::IsEmpty());
}

TEST(TracingSettingsTest, HeadersAndAttributes) {
  const auto settings = With({{"OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%3Db%20c, x-more = d "},
                              {"OTEL_RESOURCE_ATTRIBUTES", "service.name=old,zone=eu%2Cwest"},
                              {"OTEL_SERVICE_NAME", "features"}});
  EXPECT_THAT(settings->headers, ElementsAre(Pair("x-key", "a=b c"), Pair("x-more", "d")));
  EXPECT_THAT(settings->resource, ElementsAre(Pair("zone", AttributeValue("eu,west")),
                                              Pair("service.name", AttributeValue("features"))));
  EXPECT_THAT(With({})->resource, ElementsAre(Pair("service.name", AttributeValue("pixpool"))));
  EXPECT_THAT(With({{"OTEL_RESOURCE_ATTRIBUTES", "service.name=a"}})->resource,
              ElementsAre(Pair("service.name", AttributeValue("a"))));
  const auto wrong = With({{"OTEL_EXPORTER_OTLP_HEADERS", "secret"}});
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("key=value"));
  EXPECT_THAT(std::string(wrong.status().message()), testing::Not(HasSubstr("secret")));
}

TEST(TracingSettingsTest, Samplers) {
  const auto sampling = [](const char* name, const char* share = "") {
    const auto settings = With({{"OTEL_TRACES_SAMPLER", name}, {"OTEL_TRACES_SAMPLER_ARG", share}});
    return std::make_pair(settings->sampling.share, settings->sampling.follows_caller);
  };
  EXPECT_THAT(sampling(""), Pair(1, true));
  EXPECT_THAT(sampling("always_on"), Pair(1, false));
  EXPECT_THAT(sampling("parentbased_always_off"), Pair(0, true));
  EXPECT_THAT(sampling("traceidratio", "0.25"), Pair(0.25, false));
  EXPECT_THAT(sampling("parentbased_traceidratio"), Pair(1, true));
  EXPECT_FALSE(With({{"OTEL_TRACES_SAMPLER", "jaeger_remote"}}).ok());
  for (const char* share : {"1.5", "-1", "x", "nan"}) {
    EXPECT_FALSE(
        With({{"OTEL_TRACES_SAMPLER", "traceidratio"}, {"OTEL_TRACES_SAMPLER_ARG", share}}).ok())
        << share;
  }
}

TEST(TracingSettingsTest, NumbersAndProtocols) {
  const auto settings = With({{"OTEL_EXPORTER_OTLP_TIMEOUT", "700"},
                              {"OTEL_BSP_SCHEDULE_DELAY", "100"},
                              {"OTEL_BSP_MAX_QUEUE_SIZE", "20"},
                              {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "50"},
                              {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"}});
  EXPECT_EQ(settings->timeout, std::chrono::milliseconds(700));
  EXPECT_EQ(settings->delay, std::chrono::milliseconds(100));
  EXPECT_EQ(settings->most_queued, 20u);
  EXPECT_EQ(settings->most_in_batch, 20u) << "a batch never waits for more than fit";
  for (const char* number : {"0", "-1", "1e3", "5s"}) {
    EXPECT_FALSE(With({{"OTEL_BSP_MAX_QUEUE_SIZE", number}}).ok()) << number;
  }
  EXPECT_FALSE(With({{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}}).ok());
  EXPECT_FALSE(With({{"OTEL_TRACES_EXPORTER", "zipkin"}}).ok());
}

}  // namespace
}  // namespace pixpool
