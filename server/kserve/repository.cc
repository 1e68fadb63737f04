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

absl::Status CheckName(const std::string& name) {
  if (!name.empty()) return absl::OkStatus();
  return Invalid("model_name", "model_name is empty; it names the model");
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
    auto wanted = VersionPolicyOfConfig(value.string_param());
    if (!wanted.ok()) return Invalid(field, ToStd(wanted.status().message()));
    policy = *std::move(wanted);
  }
  return policy;
}

template <typename Request, typename Response>
void OrderCall<Request, Response>::Run() {
  this->record_.Note("model", this->request_->model_name());
  const absl::Status given =
      Give(*this->request_, [this, keep = this->Keep(this)](const absl::Status& status) {
        this->Guarded([&] {
          if (!status.ok()) return this->End(status);
          this->EndWithReply(Permit(), [](Response*) { return absl::OkStatus(); });
        });
      });
  if (!given.ok()) this->End(given);
}

absl::Status UnaryLoad::Give(const inference::RepositoryModelLoadRequest& request,
                             ModelControl::Done done) {
  PIXPOOL_RETURN_IF_ERROR(CheckName(request.model_name()));
  PIXPOOL_ASSIGN_OR_RETURN(const std::optional<VersionPolicy> policy, PolicyOf(request));
  control_->Load(request.model_name(), policy, std::move(done));
  return absl::OkStatus();
}

absl::Status UnaryUnload::Give(const inference::RepositoryModelUnloadRequest& request,
                               ModelControl::Done done) {
  PIXPOOL_RETURN_IF_ERROR(CheckName(request.model_name()));
  control_->Unload(request.model_name(), std::move(done));
  return absl::OkStatus();
}

template class OrderCall<inference::RepositoryModelLoadRequest,
                         inference::RepositoryModelLoadResponse>;
template class OrderCall<inference::RepositoryModelUnloadRequest,
                         inference::RepositoryModelUnloadResponse>;

}  // namespace pixpool::kserve
