// Results as tables for people.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "client/cli/text.h"
#include "client/cli/writer.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::cli {

// One box a picture, and at the end a table of the stage times of all. `heads` are the request's,
// empty for the default; they tell probabilities from logits.
std::string PictureBox(const ImageOutcome& outcome, const std::vector<v1::Head>& heads,
                       const Style& style);

// The stage times in milliseconds, a row a picture; "" if none has features.
std::string StageTable(const std::vector<std::pair<std::string, v1::StageTimes>>& rows,
                       const Style& style);

// Writes both to `out`, which is not owned.
std::unique_ptr<Writer> NewReportWriter(std::ostream& out, std::vector<v1::Head> heads,
                                        Style style);

// One table for all pictures: their labels with scores. For heads of kind class_scores with
// softmax.
std::unique_ptr<Writer> NewLabelWriter(std::ostream& out, Style style);

}  // namespace pixpool::cli
