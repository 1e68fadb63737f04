// The subcommands of pixpool; each is one file.
#pragma once

#include "client/cli/flags.h"
#include "client/cli/paths.h"
#include "client/cli/runner.h"

namespace pixpool::cli {

// Each adds itself to `root`. `console` must outlive the command.
Command AddExtract(CLI::App& root, const Console& console);
Command AddClassify(CLI::App& root, const Console& console);
Command AddHeatmap(CLI::App& root, const Console& console);
Command AddModels(CLI::App& root, const Console& console);
Command AddHealth(CLI::App& root, const Console& console);
Command AddBench(CLI::App& root, const Console& console);

// Which failed pictures are named on the error output, with the reason.
enum class NamedFailures {
  kNone,   // the output shows them where the user looks
  kFirst,  // the first ten: the output has them all, in a file
  kAll     // the output cannot show any
};

// What extract, classify and heatmap share: connects, runs the job, reports on `console.err`,
// returns the exit code. `regions` are those of every picture.
int RunAndReport(const Console& console, const ConnectionFlags& connection, const InputFlags& input,
                 v1::StreamConfig config, Pictures pictures, Writer& writer, NamedFailures named,
                 std::vector<v1::Region> regions = {});

// Says on `console.err` what a search for pictures left out.
void ReportLeftOut(const Console& console, const LeftOut& left_out);

// The whole command, without the process: parses, runs, returns the exit code.
int Main(int argc, const char* const* argv, const Console& console);

}  // namespace pixpool::cli
