// Results as tables for people.
#pragma once

#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/text.h"
#include "client/cli/writer.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::cli {

// "Egyptian cat", or "class 7" where there is no label.
std::string ClassLabel(const v1::ClassScore& score);

// "(12, 30) to (220, 190)", left and top first; "none" for a box of zeros.
std::string BoxText(const v1::Box& box);

// Head ids with warnings that were shown for them.
using Notes = std::set<std::pair<std::string, std::string>>;

// One box per picture. `heads` are the request's, empty for the default; they tell probabilities
// from logits. Warnings in `shown` are left out, others put into it.
std::string PictureBox(const ImageOutcome& outcome, const std::vector<v1::Head>& heads,
                       const Style& style, Notes& shown);

// The stage times in milliseconds, a row per picture; "" if none has features.
std::string StageTable(const std::vector<std::pair<std::string, v1::StageTimes>>& rows,
                       const Style& style);

// Writes a box per picture, each warning of a head only once, and at the end the stage times of
// all, to `out`, which is not owned; errors call it `name`.
std::unique_ptr<Writer> NewReportWriter(std::ostream& out, std::vector<v1::Head> heads, Style style,
                                        std::string name = "standard output");

// One table for all pictures: their labels with scores. For heads of kind class_scores with
// softmax.
std::unique_ptr<Writer> NewLabelWriter(std::ostream& out, Style style);

}  // namespace pixpool::cli
