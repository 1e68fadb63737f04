// Models as tables.
#pragma once

#include <string>

#include "client/cli/text.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::cli {

// A row per model.
std::string ModelListText(const v1::ListModelsResponse& list, const Style& style);

// All of one model: facts with remarks, layers, vectors, heads with parameters, projections and
// filters where there are any, limits.
std::string ModelText(const v1::Model& model, const Style& style);

}  // namespace pixpool::cli
