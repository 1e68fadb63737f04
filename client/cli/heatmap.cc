#include <cerrno>
#include <filesystem>
#include <memory>
#include <ostream>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/files.h"
#include "client/cli/paths.h"
#include "client/cli/report.h"
#include "client/cli/table.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kDescription[] =
    "Shows where in pictures the evidence for a class lies, or where a layer responds, as PNG "
    "files.";
constexpr char kHelp[] =
    "One picture goes to a file or a folder, several to a folder, which is made if need be:\n"
    "  pixpool heatmap cat.jpg --output cat-map.png\n"
    "  pixpool heatmap photos/ --output maps      (maps/cat.heatmap.png, ...)\n"
    "Yellow is the strongest evidence for the class, violet weak; without any, and outside of "
    "what\n"
    "the network saw, the picture stays as it is (black with --plain). The box is around the\n"
    "largest part with more than a fifth of the strongest evidence: left, top to right, bottom.\n"
    "With --layer it is the mean over the layer's channels; of a transformer, --layer attention\n"
    "shows where its class token looks, with or without a classifier.\n"
    "`pixpool extract --head class_scores:top_k=20 --format json` gives indices of classes.\n";
constexpr size_t kPathWidth = 40;

struct HeatmapFlags {
  ConnectionFlags connection;
  InputFlags input;
  std::string output;
  int class_index = -1;
  std::string layer;
  bool plain = false;
};

bool IsFolder(const std::string& output) {
  std::error_code ec;
  const fs::path path(output);
  return fs::is_directory(path, ec) || path.filename().empty() ||
         absl::AsciiStrToLower(path.extension().string()) != ".png";
}

// Where each picture's PNG goes: `output` itself if it names a file, else "cat.heatmap.png" in it,
// and "cat_2.heatmap.png" for the next picture called cat. INVALID_ARGUMENT where there is one file
// for several pictures, or one of the pictures would be overwritten.
absl::StatusOr<std::vector<std::string>> OutputPaths(const std::vector<std::string>& pictures,
                                                     const std::string& output) {
  const bool folder = IsFolder(output);
  if (!folder && pictures.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(pictures.size(), " pictures need a folder; --output is ", output));
  }
  std::error_code ec;
  std::set<fs::path> inputs;
  for (const std::string& picture : pictures) inputs.insert(fs::weakly_canonical(picture, ec));
  std::set<fs::path> taken;
  std::vector<std::string> paths;
  for (const std::string& picture : pictures) {
    fs::path path(output);
    if (folder) {
      const std::string stem = fs::path(picture).stem().string();
      path /= stem + ".heatmap.png";
      for (int n = 2; !taken.insert(path).second; ++n) {
        path.replace_filename(absl::StrCat(stem, "_", n, ".heatmap.png"));
      }
    }
    if (inputs.count(fs::weakly_canonical(path, ec)) > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path.string(),
                       " is one of the pictures and would be overwritten; name another --output"));
    }
    paths.push_back(path.string());
  }
  return paths;
}

// Writes the PNG files as they come, and at the end a table of what they show.
class HeatmapWriter final : public Writer {
 public:
  HeatmapWriter(std::ostream& out, Style style, std::vector<std::string> paths, bool shows_class)
      : out_(out), paths_(std::move(paths)), shows_class_(shows_class), table_(style) {
    std::vector<std::string> header = {"picture", "box, px", "heatmap"};
    if (shows_class) header.insert(header.begin() + 1, {"class", "score"});
    for (std::string& cell : header) cell = style.Bold(cell);
    table_.AddRow(std::move(header));
    if (shows_class) table_.AlignRight(2);
    table_.AddRule();
  }

  absl::Status Add(const ImageOutcome& outcome) override {
    if (!outcome.status.ok()) return absl::OkStatus();
    const v1::Features& f = outcome.features;
    if (f.head_results_size() != 1 || f.head_results(0).activation_map().png().empty()) {
      return absl::InternalError(absl::StrCat("the server sent no heatmap of ", outcome.path));
    }
    const v1::ActivationMap& map = f.head_results(0).activation_map();
    const std::string& path = paths_[outcome.index];
    if (absl::Status s = WriteFile(path, map.png()); !s.ok()) return s;
    std::vector<std::string> row = {ShortPath(outcome.path, kPathWidth)};
    if (shows_class_) {
      row.push_back(ClassLabel(map.class_score()));
      row.push_back(absl::StrFormat("%.2f %%", map.class_score().score() * 100.0));
    }
    row.push_back(BoxText(map.box()));
    row.push_back(ShortPath(path, kPathWidth));
    table_.AddRow(std::move(row));
    ++written_;
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    errno = 0;
    if (written_ > 0) out_ << table_.Render() << std::flush;
    return CheckStream(out_, "standard output");
  }

 private:
  std::ostream& out_;
  const std::vector<std::string> paths_;  // a picture's at its index
  const bool shows_class_;
  Table table_;
  size_t written_ = 0;
};

int RunHeatmap(const Console& console, const HeatmapFlags& flags) {
  const bool shows_class = flags.layer.empty();
  std::string head = absl::StrCat(shows_class ? "class_activation_map" : "mean_map",
                                  ":format=", flags.plain ? "png" : "png_overlay");
  if (!shows_class) absl::StrAppend(&head, ",layer=", flags.layer);
  if (flags.class_index >= 0) absl::StrAppend(&head, ",class_index=", flags.class_index);
  absl::StatusOr<v1::StreamConfig> config = flags.input.Config({head});
  if (!config.ok()) return ReportUsageError(console, config.status());
  absl::StatusOr<Pictures> pictures = flags.input.FindPictures();
  if (!pictures.ok()) return ReportUsageError(console, pictures.status());
  absl::StatusOr<std::vector<std::string>> outputs = OutputPaths(pictures->paths, flags.output);
  if (!outputs.ok()) return ReportUsageError(console, outputs.status());
  std::error_code ec;
  if (IsFolder(flags.output)) fs::create_directories(flags.output, ec);
  if (ec) {
    console.err << "pixpool: cannot make the folder " << Printable(flags.output) << ": "
                << ec.message() << "\n";
    return kExitInternal;
  }
  HeatmapWriter writer(console.out, console.style, *std::move(outputs), shows_class);
  return RunAndReport(console, flags.connection, flags.input, *std::move(config),
                      *std::move(pictures), writer, NamedFailures::kAll);
}

}  // namespace

Command AddHeatmap(CLI::App& root, const Console& console) {
  auto flags = std::make_shared<HeatmapFlags>();
  CLI::App* app = root.add_subcommand("heatmap", kDescription);
  flags->input.Add(*app);
  app->add_option("--class", flags->class_index,
                  "Index of the class shown; default: each picture's best")
      ->check(CLI::Range(0, 1 << 30).description(""))
      ->type_name("N")
      ->group("Output");
  app->add_option("--layer", flags->layer,
                  "Layer whose mean over the channels is shown in place of a class")
      ->type_name("NAME")
      ->excludes("--class")
      ->group("Output");
  app->add_flag("--plain", flags->plain, "The heatmap alone, not laid over the picture")
      ->group("Output");
  app->add_option("--output", flags->output, "File to write, if its name ends in .png, or folder")
      ->required()
      ->type_name("FOLDER|FILE.png")
      ->group("Output");
  flags->connection.Add(*app);
  app->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  return {app, [flags, &console] { return RunHeatmap(console, *flags); }};
}

}  // namespace pixpool::cli
