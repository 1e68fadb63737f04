#include <memory>
#include <ostream>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/model_text.h"
#include "google/protobuf/util/json_util.h"

namespace pixpool::cli {
namespace {

struct ModelsFlags {
  ConnectionFlags connection;
  std::string name, version;
  std::string format = "table";
};

int PrintJson(const Console& console, const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    console.err << "pixpool: the answer cannot be written as JSON\n";
    return kExitInternal;
  }
  console.out << json << "\n";
  return kExitOk;
}

int RunModels(const Console& console, const ModelsFlags& flags) {
  const auto client = flags.connection.Connect(console);
  if (!client.ok()) return ReportUsageError(console, client.status());
  const bool json = flags.format == "json";
  if (flags.name.empty()) {
    const absl::StatusOr<v1::ListModelsResponse> list = (*client)->ListModels();
    if (!list.ok()) return ReportError(console, list.status(), flags.connection.target);
    if (json) return PrintJson(console, *list);
    console.out << ModelListText(*list, console.style);
    return kExitOk;
  }
  const absl::StatusOr<v1::Model> model = (*client)->GetModel(flags.name, flags.version);
  if (!model.ok()) return ReportError(console, model.status(), flags.connection.target);
  if (json) return PrintJson(console, *model);
  console.out << ModelText(*model, console.style);
  return kExitOk;
}

}  // namespace

Command AddModels(CLI::App& root, const Console& console) {
  auto flags = std::make_shared<ModelsFlags>();
  CLI::App* app = root.add_subcommand(
      "models",
      "Lists the server's models, or shows one: layers, heads, projections, input recipe, "
      "limits.");
  app->add_option("NAME", flags->name, "Model to show")->type_name("");
  app->add_option("--model-version", flags->version,
                  "Version or alias; default: the server's choice")
      ->type_name("VERSION");
  app->add_option("--format", flags->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}).description(""))
      ->type_name("FORMAT")
      ->capture_default_str();
  flags->connection.Add(*app);
  app->footer(kExitCodeHelp);
  return {app, [flags, &console] { return RunModels(console, *flags); }};
}

}  // namespace pixpool::cli
