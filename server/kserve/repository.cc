#include "server/kserve/repository.h"

#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/rpc/status.h"

namespace pixpool::kserve {
namespace {

absl::Status Invalid(std::string_view field, std::string_view message) {
  ErrorDetails details;
  details.reason = ErrorReason::kRequestInvalid;
  details.field = std::string(field);
  return MakeError(details, message);
}

constexpr size_t kLongestName = 255;  // bytes, of a folder

absl::Status CheckName(const std::string& name) {
  if (name.empty()) return Invalid("model_name", "model_name is empty; it names the model");
  if (name.size() <= kLongestName) return absl::OkStatus();
  return Invalid("model_name", Concat("model_name has ", name.size(),
                                      " bytes; no model has more than ", kLongestName));
}

}  // namespace

absl::StatusOr<std::optional<VersionPolicy>> PolicyOf(
    const inference::RepositoryModelLoadRequest& request) {
  std::optional<VersionPolicy> policy;
  for (const auto& [name, value] : request.parameters()) {
    const std::string field = Concat("parameters[", ClipText(name, 64), "]");
    if (name.starts_with("file:")) {
      return Invalid(field,
                     "files of models are not taken from calls: put the bundle into the "
                     "server's folder of models and load it by its name");
    }
    if (name != "config") {
      return Invalid(field, "the parameter is not known; there is config, with version_policy");
    }
    auto wanted = VersionPolicyOfConfig(value.string_param(), request.model_name());
    if (!wanted.ok()) return Invalid(field, ToStd(wanted.status().message()));
    policy = *std::move(wanted);
  }
  return policy;
}

template <typename Request, typename Response>
void OrderCall<Request, Response>::Run() {
  if (absl::Status status = CheckName(this->request_->model_name()); !status.ok()) {
    return this->End(status);
  }
  this->record_.Note("model", this->request_->model_name());
  const absl::StatusOr<Order> order = OrderOf(*this->request_);
  // Nobody counts its bytes once Run is over, and the order may wait for long.
  this->request_.reset();
  if (!order.ok()) return this->End(order.status());
  (*order)(this->call_, [this, keep = this->Keep(this)](const absl::Status& status) {
    this->Guarded([&] {
      if (!status.ok()) return this->End(status);
      this->EndWithReply(Permit(), [](Response*) { return absl::OkStatus(); });
    });
  });
}

absl::StatusOr<UnaryLoad::Order> UnaryLoad::OrderOf(
    const inference::RepositoryModelLoadRequest& request) {
  PIXPOOL_ASSIGN_OR_RETURN(const std::optional<VersionPolicy> policy, PolicyOf(request));
  return [this, name = request.model_name(), policy](std::shared_ptr<const CallContext> call,
                                                     ModelControl::Done done) {
    control_->Load(name, policy, std::move(call), std::move(done));
  };
}

absl::StatusOr<UnaryUnload::Order> UnaryUnload::OrderOf(
    const inference::RepositoryModelUnloadRequest& request) {
  return [this, name = request.model_name()](std::shared_ptr<const CallContext> call,
                                             ModelControl::Done done) {
    control_->Unload(name, std::move(call), std::move(done));
  };
}

template class OrderCall<inference::RepositoryModelLoadRequest,
                         inference::RepositoryModelLoadResponse>;
template class OrderCall<inference::RepositoryModelUnloadRequest,
                         inference::RepositoryModelUnloadResponse>;

}  // namespace pixpool::kserve
