#include "server/repository/model_control.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "server/base/error.h"
#include "server/base/guarded.h"
#include "server/base/text.h"
#include "server/repository/errors.h"

namespace pixpool {
namespace {

// Each is a call that waits, and a load takes seconds.
constexpr size_t kMostOrders = 64;

// How soon what was seen to change is looked at once more, to see whether it is whole.
constexpr std::chrono::milliseconds kSettleTime(1'000);

}  // namespace

ModelControl::ModelControl(const RepositoryOptions& options, ModelRepository* repository,
                           ColdCalls* cold_calls, const Clock* clock)
    : options_(options), repository_(repository), cold_calls_(cold_calls), clock_(clock) {}

ModelControl::~ModelControl() { Close(); }

void ModelControl::LookAgain() {
  absl::MutexLock lock(&mu_);
  look_again_ = true;
}

void ModelControl::Load(const std::string& name, const std::optional<VersionPolicy>& policy,
                        std::shared_ptr<const CallContext> call, Done done) {
  Add({[this, name, policy] { return repository_->LoadModel(name, policy); }, std::move(call),
       std::move(done)});
}

void ModelControl::Unload(const std::string& name, std::shared_ptr<const CallContext> call,
                          Done done) {
  Add({[this, name] { return repository_->UnloadModel(name); }, std::move(call), std::move(done)});
}

void ModelControl::DropCancelled() {
  std::vector<Done> gone;
  {
    absl::MutexLock lock(&mu_);
    std::erase_if(orders_, [&](Order& order) {
      if (!order.call->cancelled()) return false;
      gone.push_back(std::move(order.done));
      return true;
    });
  }
  for (const Done& done : gone) {
    done(MakeError(ErrorReason::kCancelled, "the call was cancelled before its order was begun"));
  }
}

void ModelControl::Add(Order order) {
  absl::Status refused;
  if (options_.control.value() != kExplicitControl) {
    const std::string_view flag = options_.control.flag();
    refused = MakeError(
        ErrorReason::kModelControlOff,
        Concat("calls may not load or unload models: the server was started with ", flag, " ",
               options_.control.value(), "; with ", flag, " ", kExplicitControl, " they may"));
  }
  if (refused.ok()) {
    DropCancelled();
    absl::MutexLock lock(&mu_);
    if (closed_) {
      refused = LoadsNoMore();
    } else if (orders_.size() >= kMostOrders) {
      ErrorDetails details;
      details.reason = ErrorReason::kOverloaded;
      details.retry_after = absl::Seconds(1);
      refused = MakeError(details, Concat(orders_.size(), " loads of models are waiting already"));
    } else {
      orders_.push_back(std::move(order));
      return;
    }
  }
  order.done(refused);
}

void ModelControl::Work() {
  DropCancelled();
  bool look = false;
  bool closed = false;
  std::function<absl::Status()> work;
  {
    absl::MutexLock lock(&mu_);
    closed = closed_;
    look = !closed && std::exchange(look_again_, false);
    if (!closed && !look && !orders_.empty()) {
      work = std::move(orders_.front().work);
      under_way_ = std::move(orders_.front().done);
      orders_.pop_front();
    }
  }
  if (look) {
    Try([this] {
      Look(/*again=*/true);
      repository_->LogWhatServes();
    });
  }
  if (work) Answer(Guarded("load_failed", "the model could not be loaded", work));
  for (const ModelKey& key : cold_calls_->TakeWanted()) {
    Try([&] { repository_->LoadIdle(key); });
    cold_calls_->Loaded(key);
  }
  const bool polls = !closed && options_.control.value() == kPollControl;
  if (polls) Try([this] { Poll(); });
  Try([&] { repository_->TendIdle(); });
  bool room = false;
  Try([&] { room = repository_->FreeWhatIsLeft(); });
  if (polls && room) Try([this] { Look(/*again=*/true); });
}

void ModelControl::Try(const std::function<void()>& work) {
  Guarded("models_look_failed", "the models could not be looked at", work).IgnoreError();
}

void ModelControl::Look(bool again, const std::set<std::string>* only) {
  repository_->Look(again, only).IgnoreError();  // it is in the log
}

void ModelControl::Poll() {
  const TimePoint now = clock_->Now();
  if (now < next_poll_) return;
  const std::chrono::seconds pause(options_.poll_seconds.value());
  next_poll_ = now + pause;
  const absl::StatusOr<ModelFolder::Stamps> stamps = repository_->folder().LookAtAll();
  // One without any model may be a volume that is gone.
  absl::StatusOr<std::string> trouble = std::string(stamps.ok() && stamps->empty() ? "empty" : "");
  if (!stamps.ok()) trouble = stamps.status();
  const bool gone = trouble_.Look(trouble, "") == Settling<std::string>::News::kSettled;
  if (gone) Look(/*again=*/false);
  if (!trouble.ok() || !trouble->empty()) return;
  const std::set<std::string> settled = Settled(*stamps);
  if (!settled.empty()) Look(/*again=*/false, &settled);
  for (const std::string& name : settled) {
    const auto stamp = stamps->find(name);
    if (stamp != stamps->end()) {
      seen_[name] = stamp->second;
    } else {
      seen_.erase(name);
    }
  }
  if (*stamps != seen_) next_poll_ = now + std::min<TimeDuration>(kSettleTime, pause);
}

std::set<std::string> ModelControl::Settled(const ModelFolder::Stamps& stamps) {
  const auto stamp_of = [](const ModelFolder::Stamps& all, const std::string& name) {
    const auto found = all.find(name);
    return found == all.end() ? std::string() : found->second;
  };
  for (const auto& [name, stamp] : stamps) news_.try_emplace(name);
  std::set<std::string> settled;
  for (auto it = news_.begin(); it != news_.end();) {
    auto& [name, news] = *it;
    const std::string in_force = stamp_of(seen_, name);
    const bool forgotten = in_force.empty() && !stamps.contains(name);
    if (news.Look(stamp_of(stamps, name), in_force) == Settling<std::string>::News::kSettled) {
      news.Taken();
      settled.insert(name);
    }
    it = forgotten ? news_.erase(it) : std::next(it);
  }
  return settled;
}

void ModelControl::Answer(const absl::Status& status) {
  Done done;
  {
    absl::MutexLock lock(&mu_);
    done = std::exchange(under_way_, nullptr);
  }
  if (done) done(status);
}

void ModelControl::Close() {
  std::deque<Order> left;
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    left = std::exchange(orders_, {});
  }
  repository_->Close();
  cold_calls_->Close();
  for (const Order& order : left) order.done(LoadsNoMore());
  Answer(LoadsNoMore());
}

}  // namespace pixpool
