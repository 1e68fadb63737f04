#include "server/tracing/settings.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

constexpr char kEndpoint[] = "OTEL_EXPORTER_OTLP_ENDPOINT";
constexpr char kTracesEndpoint[] = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
constexpr char kSampler[] = "OTEL_TRACES_SAMPLER";
constexpr char kSamplerArg[] = "OTEL_TRACES_SAMPLER_ARG";
constexpr char kServiceName[] = "service.name";
constexpr char kPropagators[] = "OTEL_PROPAGATORS";

// What a URL begins with, and the port of one that names none: the collectors' own, or that of the
// gates in front of those that are far away.
struct Scheme {
  std::string_view begin;
  bool tls;
  std::string_view port;
};
constexpr Scheme kSchemes[] = {{"http://", false, "4318"}, {"https://", true, "443"}};

using Pairs = std::vector<std::pair<std::string, std::string>>;

absl::Status Wrong(std::string_view name, std::string_view value, std::string_view rest) {
  return absl::InvalidArgumentError(Concat(name, " is \"", value, "\", ", rest));
}

// Reads variables; an empty one counts as not set, as OpenTelemetry has it.
class Variables {
 public:
  explicit Variables(const std::function<const char*(const char*)>& read) : read_(read) {}

  std::string_view Get(const char* name) const {
    const char* const value = read_(name);
    return value == nullptr ? std::string_view() : ToStd(absl::StripAsciiWhitespace(value));
  }

  // The name of the variable that is for traces, or else of the one for all signals, that is set.
  const char* Either(const char* traces, const char* all) const {
    return Get(traces).empty() ? all : traces;
  }

  absl::StatusOr<int64_t> Whole(const char* name, int64_t fallback, int64_t min) const {
    const std::string_view text = Get(name);
    if (text.empty()) return fallback;
    constexpr int64_t kMax = 1'000'000;
    int64_t value = 0;
    if (!absl::SimpleAtoi(ToAbsl(text), &value) || value < min || value > kMax) {
      return Wrong(name, text, Concat("which is no whole number of ", min, " to ", kMax));
    }
    return value;
  }

  // "key=value,key=value", percent-encoded.
  absl::StatusOr<Pairs> List(const char* name) const {
    Pairs pairs;
    for (const absl::string_view piece :
         absl::StrSplit(ToAbsl(Get(name)), ',', absl::SkipWhitespace())) {
      const std::pair<absl::string_view, absl::string_view> pair =
          absl::StrSplit(piece, absl::MaxSplits('=', 1));
      const absl::string_view key = absl::StripAsciiWhitespace(pair.first);
      if (key.empty() || key.size() == piece.size()) {
        // Not the value: it may be a secret.
        return absl::InvalidArgumentError(Concat(
            name, " has an entry that is not key=value, as \"key=value,key=value\" would be"));
      }
      pairs.emplace_back(Decoded(ToStd(key)),
                         Decoded(ToStd(absl::StripAsciiWhitespace(pair.second))));
    }
    return pairs;
  }

 private:
  static std::string Decoded(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      int code = 0;
      if (text[i] == '%' && i + 2 < text.size() && absl::ascii_isxdigit(text[i + 1]) &&
          absl::ascii_isxdigit(text[i + 2]) &&
          absl::SimpleHexAtoi(ToAbsl(text.substr(i + 1, 2)), &code)) {
        out += static_cast<char>(code);
        i += 2;
      } else {
        out += text[i];
      }
    }
    return out;
  }

  const std::function<const char*(const char*)>& read_;
};

absl::Status ReadEndpoint(const Variables& variables, TracingSettings* out) {
  const bool own = !variables.Get(kTracesEndpoint).empty();
  const char* const name = own ? kTracesEndpoint : kEndpoint;
  const std::string_view url = variables.Get(name);
  // The value is not quoted: it may hold a password.
  const absl::Status not_the_form = absl::InvalidArgumentError(
      Concat(name, " must be http://HOST:PORT or https://HOST:PORT, without a user"));
  const auto* const scheme =
      std::find_if(std::begin(kSchemes), std::end(kSchemes),
                   [&](const Scheme& one) { return url.starts_with(one.begin); });
  if (scheme == std::end(kSchemes)) return not_the_form;
  out->tls.on = scheme->tls;
  std::string_view rest = url.substr(scheme->begin.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  std::string path(rest.substr(slash));
  std::string_view host = rest.substr(0, slash);
  const size_t colon = host.rfind(':');
  std::string_view port = scheme->port;
  if (colon != host.npos && !host.ends_with(']')) {
    port = host.substr(colon + 1);
    host = host.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  int number = 0;
  if (host.empty() || host.find_first_of(" @[]") != host.npos ||
      !absl::SimpleAtoi(ToAbsl(port), &number) || number < 1 || number > 65535) {
    return not_the_form;
  }
  if (!own) {
    while (path.ends_with('/')) path.pop_back();
    path += "/v1/traces";
  }
  out->host = std::string(host);
  out->port = std::string(port);
  out->path = path.empty() ? "/" : path;
  return absl::OkStatus();
}

CollectorTls::File FileOf(const Variables& variables, const char* traces, const char* all) {
  const char* const name = variables.Either(traces, all);
  return {.variable = name, .path = std::string(variables.Get(name))};
}

absl::Status ReadTls(const Variables& variables, TracingSettings* out) {
  CollectorTls& tls = out->tls;
  tls.ca =
      FileOf(variables, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE");
  tls.certificate = FileOf(variables, "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
                           "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE");
  tls.key =
      FileOf(variables, "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY");
  if (tls.certificate.path.empty() != tls.key.path.empty()) {
    const bool key = tls.key.path.empty();
    return absl::InvalidArgumentError(Concat((key ? tls.key : tls.certificate).variable,
                                             " must be set where ",
                                             (key ? tls.certificate : tls.key).variable, " is"));
  }
  for (const CollectorTls::File* file : {&tls.ca, &tls.certificate, &tls.key}) {
    if (tls.on || file->path.empty()) continue;
    out->warnings.push_back(
        Concat(file->variable,
               " is not heeded: the collector's URL begins with http://, so spans and "
               "headers go in plain text"));
  }
  return absl::OkStatus();
}

// What others do and the server does not is said, and keeps nobody from starting it.
void WarnOfOthers(const Variables& variables, std::vector<std::string>* warnings) {
  for (const char* const name :
       {"OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"}) {
    const std::string_view how = variables.Get(name);
    if (how.empty() || how == "none") continue;
    warnings->push_back(
        Concat(name, " is \"", how, "\", which is not heeded: spans are sent uncompressed"));
  }
  const std::string_view propagators = variables.Get(kPropagators);
  if (!propagators.empty() && !absl::StrContains(ToAbsl(propagators), "tracecontext")) {
    warnings->push_back(Concat(kPropagators, " is \"", propagators,
                               "\", which is not heeded: the server reads traceparent and "
                               "tracestate alone (tracecontext)"));
  }
  for (const char* const name :
       {"OTEL_BSP_EXPORT_TIMEOUT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_CONFIG_FILE"}) {
    if (!variables.Get(name).empty()) warnings->push_back(Concat(name, " is not heeded"));
  }
}

absl::Status ReadSampler(const Variables& variables, Sampling* out) {
  std::string_view name = variables.Get(kSampler);
  if (name.empty()) return absl::OkStatus();
  const std::string_view given = name;
  constexpr std::string_view kParent = "parentbased_";
  out->follows_caller = name.starts_with(kParent);
  if (out->follows_caller) name.remove_prefix(kParent.size());
  if (name == "always_on") return absl::OkStatus();
  if (name == "always_off") {
    out->share = 0;
    return absl::OkStatus();
  }
  if (name != "traceidratio") {
    return Wrong(kSampler, given,
                 "which is none of always_on, always_off, traceidratio, parentbased_always_on, "
                 "parentbased_always_off, parentbased_traceidratio");
  }
  const std::string_view text = variables.Get(kSamplerArg);
  if (!text.empty() &&
      (!absl::SimpleAtod(ToAbsl(text), &out->share) || !(out->share >= 0) || out->share > 1)) {
    return Wrong(kSamplerArg, text, "which is no number of 0 to 1");
  }
  return absl::OkStatus();
}

absl::Status ReadResource(const Variables& variables, Attributes* out) {
  PIXPOOL_ASSIGN_OR_RETURN(const Pairs given, variables.List("OTEL_RESOURCE_ATTRIBUTES"));
  std::string service(variables.Get("OTEL_SERVICE_NAME"));
  for (const auto& [key, value] : given) {
    if (key != kServiceName) {
      out->emplace_back(key, value);
    } else if (service.empty()) {
      service = value;
    }
  }
  out->emplace_back(kServiceName, service.empty() ? std::string("pixpool") : service);
  return absl::OkStatus();
}

// Whether spans are to be sent by OTLP.
absl::StatusOr<bool> IsOn(const Variables& variables) {
  if (variables.Get(kEndpoint).empty() && variables.Get(kTracesEndpoint).empty()) return false;
  if (absl::EqualsIgnoreCase(ToAbsl(variables.Get("OTEL_SDK_DISABLED")), "true")) return false;
  const std::string_view exporter = variables.Get("OTEL_TRACES_EXPORTER");
  if (exporter == "none") return false;
  if (!exporter.empty() && exporter != "otlp") {
    return Wrong("OTEL_TRACES_EXPORTER", exporter, "which is neither otlp nor none");
  }
  const char* const name =
      variables.Either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
  const std::string_view protocol = variables.Get(name);
  if (!protocol.empty() && protocol != "http/protobuf") {
    return Wrong(name, protocol, "but the server speaks http/protobuf alone");
  }
  return true;
}

}  // namespace

absl::StatusOr<TracingSettings> TracingFromEnvironment(
    const std::function<const char*(const char*)>& variable) {
  const Variables variables(variable);
  TracingSettings out;
  PIXPOOL_ASSIGN_OR_RETURN(out.on, IsOn(variables));
  if (!out.on) return out;
  PIXPOOL_RETURN_IF_ERROR(ReadEndpoint(variables, &out));
  PIXPOOL_RETURN_IF_ERROR(ReadTls(variables, &out));
  WarnOfOthers(variables, &out.warnings);
  PIXPOOL_RETURN_IF_ERROR(ReadSampler(variables, &out.sampling));
  PIXPOOL_RETURN_IF_ERROR(ReadResource(variables, &out.resource));
  PIXPOOL_ASSIGN_OR_RETURN(out.headers,
                           variables.List(variables.Either("OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                                                           "OTEL_EXPORTER_OTLP_HEADERS")));
  PIXPOOL_ASSIGN_OR_RETURN(const int64_t timeout,
                           variables.Whole(variables.Either("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
                                                            "OTEL_EXPORTER_OTLP_TIMEOUT"),
                                           out.timeout.count(), 1));
  PIXPOOL_ASSIGN_OR_RETURN(const int64_t delay,
                           variables.Whole("OTEL_BSP_SCHEDULE_DELAY", out.delay.count(), 1));
  PIXPOOL_ASSIGN_OR_RETURN(
      const int64_t queued,
      variables.Whole("OTEL_BSP_MAX_QUEUE_SIZE", static_cast<int64_t>(out.most_queued), 1));
  PIXPOOL_ASSIGN_OR_RETURN(const int64_t batch,
                           variables.Whole("OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                                           static_cast<int64_t>(out.most_in_batch), 1));
  out.timeout = std::chrono::milliseconds(timeout);
  out.delay = std::chrono::milliseconds(delay);
  out.most_queued = static_cast<size_t>(queued);
  out.most_in_batch = std::min(static_cast<size_t>(batch), out.most_queued);
  return out;
}

}  // namespace pixpool
