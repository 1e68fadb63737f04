#include "server/rest/call.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/pipeline/pipeline.h"
#include "server/rest/embeddings.h"
#include "server/rest/features.h"
#include "server/rest/form.h"
#include "server/rest/route.h"
#include "server/rpc/caller.h"
#include "server/rpc/extract_convert.h"
#include "server/rpc/guard.h"
#include "server/rpc/priority.h"
#include "server/rpc/receive.h"
#include "server/rpc/token_store.h"

namespace pixpool::rest {
namespace {

// gRPC's header, which gateways set on HTTP/1.1 too.
constexpr char kTimeout[] = "grpc-timeout";

// In what steps a body is counted while it comes.
constexpr int64_t kHoldStep = 256 << 10;

Introduction IntroductionOf(const std::string& peer, const RequestHead& head,
                            const CallDeps& deps) {
  Introduction call{.peer = peer, .authorization = head.Values("authorization"), .named = {}};
  if (!deps.caller_header->empty()) call.named = head.Values(*deps.caller_header);
  return call;
}

// "1500m": at most eight digits and a unit, as gRPC's protocol has it.
std::optional<TimeDuration> ParseTimeout(std::string_view text) {
  constexpr size_t kMostDigits = 8;
  int64_t number = 0;
  if (text.size() < 2 || text.size() > kMostDigits + 1 ||
      !std::all_of(text.begin(), text.end() - 1, absl::ascii_isdigit) ||
      !absl::SimpleAtoi(ToAbsl(text.substr(0, text.size() - 1)), &number)) {
    return std::nullopt;
  }
  switch (text.back()) {
    case 'H':
      return std::chrono::hours(number);
    case 'M':
      return std::chrono::minutes(number);
    case 'S':
      return std::chrono::seconds(number);
    case 'm':
      return std::chrono::milliseconds(number);
    case 'u':
      return std::chrono::microseconds(number);
    case 'n':
      return std::chrono::nanoseconds(number);
    default:
      return std::nullopt;
  }
}

absl::Status CheckTimeout(const RequestHead& head) {
  const auto values = head.Values(kTimeout);
  if (values.empty() || (values.size() == 1 && ParseTimeout(values[0]))) return absl::OkStatus();
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = kTimeout},
                   "Grpc-Timeout must be given once, as a number and a unit, such as 1500m for "
                   "1500 milliseconds or 5S for 5 seconds");
}

TimePoint Deadline(const RequestHead& head, const CallDeps& deps) {
  const auto value = head.Only(kTimeout);
  const auto timeout = value ? ParseTimeout(*value) : std::nullopt;
  const TimeDuration wanted =
      timeout.value_or(TimeDuration(deps.options->default_deadline.value()));
  return deps.clock->Now() + std::min<TimeDuration>(wanted, deps.options->max_deadline.value());
}

std::shared_ptr<CallContext> NewContext(const Introduction& introduction, const RequestHead& head,
                                        const CallDeps& deps) {
  const Caller caller = CallerOf(introduction, deps);
  return std::make_shared<CallContext>(Deadline(head, deps), Priority::kInteractive, caller.name,
                                       caller.terms);
}

CallOrigin OriginOf(const std::string& peer, const RequestHead& head, const CallContext& context) {
  CallOrigin origin{.peer = peer, .caller = context.caller(), .trace = std::nullopt};
  if (const auto parent = head.Only(kTraceMetadata)) origin.trace = ParseTraceParent(*parent);
  if (origin.trace) origin.trace->state = JoinTraceState(head.Values(kTraceStateMetadata));
  return origin;
}

// Strangers make no spans.
CallDeps RecordDeps(CallDeps deps, bool known) {
  if (!known) deps.tracer = nullptr;
  return deps;
}

Holder HolderOf(const CallContext& context) { return {context.priority(), context.token()}; }

// The status under which a refusal of HTTP itself counts.
absl::Status HttpError(const Answer& answer) {
  return MakeError(ErrorReason::kRequestInvalid,
                   Concat(answer.status, " ", StatusText(answer.status)));
}

}  // namespace

Call::Call(const DoorDeps* deps, std::string peer, RequestHead head)
    : deps_(*deps),
      head_(std::move(head)),
      route_(FindRoute(head_.path)),
      token_(CheckToken(IntroductionOf(peer, head_, deps_.call), deps_.call)),
      context_(NewContext(IntroductionOf(peer, head_, deps_.call), head_, deps_.call)),
      record_(route_.counted, OriginOf(peer, head_, *context_),
              RecordDeps(deps_.call, token_.ok())) {}

Answer Call::Fail(const absl::Status& error) {
  if (!std::exchange(ended_, true)) record_.End(error);
  return Problem(error);
}

Answer Call::Fail(Answer answer) {
  if (!std::exchange(ended_, true)) record_.End(HttpError(answer));
  return answer;
}

Answer Call::End(absl::StatusOr<Answer> answer) {
  if (!answer.ok()) return Fail(answer.status());
  auto hold = HoldKept(deps_.call, HolderOf(*context_), static_cast<int64_t>(answer->body.size()));
  if (!hold.ok()) return Fail(hold.status());
  answer->hold = *std::move(hold);
  if (!std::exchange(ended_, true)) record_.End(absl::OkStatus());
  return *std::move(answer);
}

std::optional<Answer> Call::Begin() {
  if (!token_.ok()) return Fail(token_);
  if (route_.methods.empty() && head_.path != "*") {
    return Fail(Problem(404, Concat("there is no such path; there are ", RoutesText())));
  }
  if (head_.method == "OPTIONS" || !Takes(route_, head_.method)) {
    const bool asked = head_.method == "OPTIONS";
    Answer answer{.status = 204};
    if (!asked) answer = Problem(405, Concat(route_.path, " takes ", route_.methods));
    answer.fields.emplace_back(
        "Allow", route_.methods.empty() ? "GET, HEAD, POST, OPTIONS" : route_.methods);
    return asked ? End(std::move(answer)) : Fail(std::move(answer));
  }
  if (route_.counted == RpcMethod::kRestModels) return End(ModelsAnswer(deps_.models));
  if (route_.counted == RpcMethod::kRestModel) {
    std::vector<std::string> decoded;
    // As a value of a query, which it is encoded like.
    const std::string path = absl::StrReplaceAll(ToAbsl(head_.path.substr(route_.path.size())),
                                                 {{"&", "%26"}, {"+", "%2B"}});
    const auto name = ParseQuery("name=" + path, 1, &decoded);
    if (!name.ok()) return Fail(name.status());
    if (name->front().value.empty()) return Fail(Problem(404, "the path names no model"));
    std::vector<std::string> values;
    const auto asked = ParseQuery(head_.query, 16, &values);
    if (!asked.ok()) return Fail(asked.status());
    std::string_view version;
    for (const Part& part : *asked) {
      if (part.name == "model_version") version = part.value;
    }
    return End(ModelAnswer(deps_.models, name->front().value, version));
  }
  return Admit();
}

// Of work: whether its body is to be read.
std::optional<Answer> Call::Admit() {
  auto refusal = route_.counted == RpcMethod::kRestEmbeddings ? CheckEmbeddingsHead(head_)
                                                              : CheckFeaturesHead(head_);
  if (refusal) return Fail(*std::move(refusal));
  const absl::Status may = MayArrive();
  if (!may.ok()) return Fail(may);
  if (!head_.chunked && !head_.content_length) {
    Answer answer = Problem(411, "the request has neither Content-Length nor chunks");
    answer.close = true;  // a client that forgot it may send a body all the same
    return Fail(std::move(answer));
  }
  if (std::cmp_greater(head_.content_length.value_or(0), deps_.max_body_bytes.value)) {
    return Hold(static_cast<int64_t>(*head_.content_length));
  }
  return std::nullopt;
}

absl::Status Call::MayArrive() {
  PIXPOOL_RETURN_IF_ERROR(CheckTimeout(head_));
  PIXPOOL_ASSIGN_OR_RETURN(
      const Priority priority,
      PriorityFromValues(head_.Values(kPriorityMetadata), Priority::kInteractive));
  context_->set_priority(priority);
  record_.SetPriority(context_->priority());
  return deps_.call.pipeline->MayArrive(*context_);
}

std::optional<Answer> Call::Hold(int64_t bytes) {
  const FlagNumber most = deps_.max_body_bytes;
  if (bytes > most.value) {
    return Fail(MakeError({.reason = ErrorReason::kLimitExceeded, .field = "", .metadata = {}},
                          Concat("the body is over the limit of ", most.value, " bytes (",
                                 most.flag, "); send fewer or smaller pictures at a time")));
  }
  if (bytes <= held_bytes_) return std::nullopt;
  // A text that grows has room beside its bytes; of JSON there are its values and what they encode.
  const int64_t growth =
      (head_.chunked ? 2 : 1) + (route_.counted == RpcMethod::kRestEmbeddings ? 2 : 0);
  const int64_t to_come =
      head_.chunked ? kHoldStep : static_cast<int64_t>(*head_.content_length) - held_bytes_;
  const int64_t step = std::max(bytes - held_bytes_, std::min(kHoldStep, to_come));
  const Holder holder = HolderOf(*context_);
  // All of it as one share: beside steps of its own a large one would never find room.
  hold_.Release();
  auto held = deps_.call.pipeline->admission()->HoldMessage(growth * (held_bytes_ + step));
  if (!held.ok()) {
    deps_.call.metrics->Shed(ErrorReason::kOverloaded, holder.priority, holder.token);
    return Fail(held.status());
  }
  hold_ = *std::move(held);
  held_bytes_ += step;
  return std::nullopt;
}

absl::StatusOr<Work> Call::ReadBody(std::shared_ptr<const std::string> body) const {
  if (route_.counted == RpcMethod::kRestEmbeddings) {
    return EmbeddingsWork(std::move(body), *deps_.models.options);
  }
  return FeaturesWork(head_, std::move(body), *deps_.models.options);
}

void Call::Run(std::string body, Done done) {
  absl::StatusOr<Work> work;
  const absl::Status thrown =
      Guard([&] { work = ReadBody(std::make_shared<const std::string>(std::move(body))); });
  if (!thrown.ok()) return done(Fail(thrown));
  if (!work.ok()) return done(Fail(work.status()));
  if (!work->request_id.empty()) record_.Note("request_id", work->request_id);
  record_.Note("images", work->request.images.size());
  record_.Note("heads", work->request.heads.size());
  if (work->priority) {
    context_->set_priority(*work->priority);
    record_.SetPriority(context_->priority());
  }
  ExtractRequest request = std::move(work->request);
  request.context = context_;
  const auto kept = std::make_shared<const Work>(*std::move(work));
  deps_.call.pipeline->Extract(
      std::move(request), [self = shared_from_this(), kept, done](ExtractResult result) {
        Answer answer;
        const absl::Status failed = Guard([&] { answer = self->Reply(*kept, std::move(result)); });
        done(failed.ok() ? std::move(answer) : self->Fail(failed));
      });
  hold_.Release();
}

Answer Call::Reply(const Work& work, ExtractResult result) {
  record_.SetModel(MetricsOf(result));
  record_.TraceStages(result);
  if (!result.status.ok()) return Fail(result.status);
  NoteResult(result, &record_);
  Permit permit = std::move(result.permit);
  const TimePoint start = deps_.call.clock->Now();
  auto made = work.answer(&result);
  const TimePoint end = deps_.call.clock->Now();
  record_.model().StageTime(Stage::kConvert, ToSeconds(end - start));
  record_.TraceStage(Stage::kConvert, start, end);
  Answer answer = End(std::move(made));
  answer.permit = std::move(permit);
  return answer;
}

}  // namespace pixpool::rest
